import { TpxError } from '../base/error.ts'
import type { ContainerEngine, ContainerSummary } from '../container/container-engine.ts'
import { type ConnectionSettings, holderName } from '../container/holder-container.ts'
import { LABEL } from '../container/labels.ts'
import { tunnelName } from '../container/tunnel-container.ts'
import type { ControlClient } from '../wire/control-channel.ts'
import { openControl, spawnLink } from './link-process.ts'
import { runtimeConnections } from './runtime-dir.ts'

/** A connection as its containers describe it. */
export type Connection = { containers: ContainerSummary[]; settings: ConnectionSettings }

/** How to reach the engine, only when it must be asked: loading its client takes a tenth of a second. */
export type EngineSource = () => Promise<ContainerEngine>

function settingsOf({ labels }: ContainerSummary): ConnectionSettings {
  const text = (key: string): string => labels[key] ?? ''
  return {
    carrier: text(LABEL.carrier) === 'exec' ? 'exec' : 'unix',
    context: text(LABEL.context),
    kubeconfig: labels[LABEL.kubeconfig] ?? null,
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
  return [...byName.values()].flatMap((mine) => {
    const owner = mine.find(({ labels }) => labels[LABEL.role] === 'holder') ?? mine.find(({ labels }) => labels[LABEL.role] === 'tunnel')
    return owner ? [{ containers: mine, settings: settingsOf(owner) }] : []
  })
}

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

/** Starts the link of a connection again, from what its containers are labelled with. */
export async function restartLink({ settings }: Connection, root: string): Promise<ControlClient> {
  await spawnLink({
    carrier: settings.carrier,
    connection: settings.name,
    context: settings.context,
    holderName: holderName(settings.name),
    kubeconfig: settings.kubeconfig,
    logLevel: settings.linkLogLevel,
    managerNamespace: settings.managerNamespace,
    namespace: settings.namespace,
    root,
    tunnelName: tunnelName(settings.name),
  })
  const control = await openControl(settings.name)
  if (!control) throw new TpxError('LINK_FAILED', 'The link ended right after its start')
  return control
}

/** A connection's control stream. */
export type OpenConnection = { control: ControlClient; name: string }

/**
 * Opens the connection that a command means. Live links answer at once; only where none does is the engine asked,
 * and a dead link is started again.
 * @throws TpxError CONNECTION_NOT_FOUND, CONNECTION_AMBIGUOUS, and what the link finds
 */
export async function useConnection(options: { engine: EngineSource; root: string; use: string | undefined }): Promise<OpenConnection> {
  const names = runtimeConnections().filter((name) => options.use === undefined || name === options.use)
  const live = (await Promise.all(names.map(async (name) => ({ control: await openControl(name), name })))).flatMap(({ control, name }) =>
    control ? [{ control, name }] : [],
  )
  if (live.length === 1 && live[0]) return live[0]
  if (live.length > 1) {
    for (const { control } of live) control.close()
    return selectConnection(
      live.map(({ control, name }) => ({ name, value: { control, name } })),
      options.use,
    )
  }
  const known = await listConnections(await options.engine())
  const connection = selectConnection(
    known.map((value) => ({ name: value.settings.name, value })),
    options.use,
  )
  return { control: await restartLink(connection, options.root), name: connection.settings.name }
}
