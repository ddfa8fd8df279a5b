import { TpxError } from '../base/error.ts'
import type { ContainerEngine, ContainerSummary } from '../container/container-engine.ts'
import type { ConnectionSettings, Impersonation } from '../container/holder-container.ts'
import { LABEL } from '../container/labels.ts'
import type { ControlClient } from '../wire/control-channel.ts'
import { readLinkEnvironment } from '../wire/link-environment.ts'
import { openControl, startLink } from './link-process.ts'
import { runtimeConnections, runtimeDir } from './runtime-dir.ts'

/** A connection as its containers describe it. */
export type Connection = { containers: ContainerSummary[]; settings: ConnectionSettings }

/** How to reach the engine, only when it must be asked: loading its client takes a tenth of a second. */
export type EngineSource = () => Promise<ContainerEngine>

function settingsOf({ labels }: ContainerSummary): ConnectionSettings {
  const text = (key: string): string => labels[key] ?? ''
  return {
    carrier: text(LABEL.carrier) === 'exec' ? 'exec' : 'unix',
    context: text(LABEL.context),
    impersonate: JSON.parse(labels[LABEL.impersonate] ?? '{}') as Impersonation,
    kubeconfig: text(LABEL.kubeconfig),
    linkLogLevel: text(LABEL.linkLogLevel) || 'info',
    managerNamespace: text(LABEL.managerNamespace),
    name: text(LABEL.connection),
    namespace: text(LABEL.namespace),
  }
}

/** All connections that the engine knows of, by name. */
export async function listConnections(engine: ContainerEngine): Promise<Connection[]> {
  const containers = await engine.listContainers({ [LABEL.connection]: null })
  const byName = Map.groupBy(containers, ({ labels }) => labels[LABEL.connection] ?? '')
  return [...byName.keys()].sort().flatMap((name) => {
    const mine = byName.get(name) ?? []
    const owner = mine.find(({ labels }) => labels[LABEL.role] === 'holder') ?? mine.find(({ labels }) => labels[LABEL.role] === 'tunnel')
    return owner ? [{ containers: mine, settings: settingsOf(owner) }] : []
  })
}

const RECONNECT_MS = 15_000
const CONNECT_HINT = 'Run "tpx connect" first, or see "tpx status"'

/** The one that is meant. @throws TpxError CONNECTION_NOT_FOUND, CONNECTION_AMBIGUOUS */
export function selectConnection<T>(found: { name: string; value: T }[], wanted: string | undefined): T {
  const names = found.map(({ name }) => name).join(', ')
  if (wanted !== undefined) {
    const one = found.find(({ name }) => name === wanted)
    if (!one)
      throw new TpxError('CONNECTION_NOT_FOUND', `There is no connection "${wanted}"`, {
        hint: names ? `Connections: ${names}` : CONNECT_HINT,
      })
    return one.value
  }
  if (found.length > 1)
    throw new TpxError('CONNECTION_AMBIGUOUS', `There are ${found.length} connections: ${names}`, { hint: 'Name one with --use' })
  const [only] = found
  if (!only) throw new TpxError('CONNECTION_NOT_FOUND', 'There is no connection', { hint: CONNECT_HINT })
  return only.value
}

/**
 * Starts the link of a connection again: with the choice that its containers are labelled with, and in the environment of the
 * shell that made it, because this one may lack what a credential plugin needs.
 * @throws TpxError of what the link finds
 */
export function restartLink({ settings }: Connection, root: string): Promise<ControlClient> {
  const environment = readLinkEnvironment(runtimeDir(settings.name)) ?? process.env
  return startLink(settings, { carrier: settings.carrier, environment, root })
}

/** A connection's control stream. */
export type OpenConnection = { control: ControlClient; name: string }

/** Starts a dead link, and waits until the tunnel has found back to the cluster through it. */
async function reconnect(connection: Connection, root: string): Promise<ControlClient> {
  const control = await restartLink(connection, root)
  try {
    await control.call('connect', { timeoutMs: RECONNECT_MS })
    return control
  } catch (error) {
    control.close()
    throw error
  }
}

/**
 * Opens the connection that a command means. A live link answers at once; where there may be others, or where it is dead, the
 * engine is asked, and a dead link is started again.
 * @throws TpxError CONNECTION_NOT_FOUND, CONNECTION_AMBIGUOUS, and what the link finds
 */
export async function useConnection(options: { engine: EngineSource; root: string; use: string | undefined }): Promise<OpenConnection> {
  const [first, ...others] = runtimeConnections().filter((name) => options.use === undefined || name === options.use)
  if (first !== undefined && !others.length) {
    const control = await openControl(first)
    if (control) return { control, name: first }
  }
  const known = await listConnections(await options.engine())
  const connection = selectConnection(
    known.map((value) => ({ name: value.settings.name, value })),
    options.use,
  )
  const { name } = connection.settings
  return { control: (await openControl(name)) ?? (await reconnect(connection, options.root)), name }
}
