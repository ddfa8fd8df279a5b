import { createHash } from 'node:crypto'
import { hostname, release, userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { asTpxError, messageOf, TpxError } from '../base/error.ts'
import type { ContainerEngine, EngineInfo } from '../container/container-engine.ts'
import { type ConnectionSettings, type HolderNetwork, holderSpec } from '../container/holder-container.ts'
import { tunnelImage } from '../container/image.ts'
import { LABEL } from '../container/labels.ts'
import { tunnelSpec } from '../container/tunnel-container.ts'
import { type CarrierChoice, type ClientConfig, CLIENT_CONFIG_DEFAULTS } from '../wire/client-config.ts'
import type { ControlClient } from '../wire/control-channel.ts'
import type { SessionStatus } from '../wire/control.ts'
import { changedKeys } from './config-view.ts'
import { type Connection, listConnections } from './connection.ts'
import { openControl, startLink } from './link-process.ts'
import { runtimeDir } from './runtime-dir.ts'

/** What to connect to, and how. */
export type ConnectOptions = {
  /** What flags, config.yml and kubeconfig set; the tunnel puts the manager's defaults beneath it. */
  clientConfig: ClientConfig
  engine: ContainerEngine
  network: HolderNetwork
  onProgress: (text: string) => void
  root: string
  settings: Omit<ConnectionSettings, 'carrier'>
}

/**
 * A connection that is up. `isNew` is false when it was there before; `changed` names what was set in another way when it was made
 * (keys of ClientConfig): that stays in force until it ends.
 */
export type Connected = {
  changed: string[]
  control: ControlClient
  holderId: string
  isNew: boolean
  session: SessionStatus
  settings: ConnectionSettings
}

const CLUSTER_DOMAIN = 'cluster.local'

/** A socket can be shared by bind mount only where the engine runs on this very kernel and sees this file system. */
function chooseCarrier(wanted: CarrierChoice, info: EngineInfo): 'exec' | 'unix' {
  if (wanted !== 'auto') return wanted
  const host = process.env['DOCKER_HOST'] ?? 'unix://'
  return host.startsWith('unix://') && info.kernelVersion === release() && info.hostName === hostname() && !info.rootless ? 'unix' : 'exec'
}

/** What a configuration sets for the containers and for the start, with the defaults of what it does not say. */
function startSettings({ cluster, docker, images, logLevels, timeouts }: ClientConfig) {
  const defaults = CLIENT_CONFIG_DEFAULTS
  return {
    carrier: docker?.carrier ?? defaults.docker.carrier,
    clusterDomain: cluster?.clusterDomain ?? CLUSTER_DOMAIN,
    connectMs: timeouts?.trafficManagerConnect ?? defaults.timeouts.trafficManagerConnect,
    image: tunnelImage(images),
    tunnelLogLevel: logLevels?.tunnel ?? defaults.logLevels.tunnel,
  }
}

/** What must be the same for a connection to be used again. */
function choiceOf({ context, impersonate, kubeconfig, managerNamespace, namespace }: ConnectOptions['settings']): string {
  return JSON.stringify([context, impersonate, kubeconfig, managerNamespace, namespace])
}

async function checkExisting(engine: ContainerEngine, { network, settings }: ConnectOptions): Promise<Connection | undefined> {
  const existing = (await listConnections(engine)).find((one) => one.settings.name === settings.name)
  if (!existing) return undefined
  const { context, impersonate, kubeconfig, managerNamespace, namespace } = existing.settings
  if (choiceOf(existing.settings) !== choiceOf(settings))
    throw new TpxError(
      'CONNECTION_EXISTS',
      `A connection "${settings.name}" exists, to namespace "${namespace}" of context "${context}"${impersonate.as ? ` as "${impersonate.as}"` : ''} (kubeconfig "${kubeconfig}", manager namespace "${managerNamespace}")`,
      { hint: 'Give this one another name with --name, or run "tpx quit" first' },
    )
  if (Object.keys(network).length > 0)
    throw new TpxError(
      'CONNECTION_EXISTS',
      `The connection "${settings.name}" exists already, so that ports, hostname and extra hosts cannot be set any more`,
      { hint: 'Give this one another name with --name, or run "tpx quit" first' },
    )
  return existing
}

function tunnelStartError(error: unknown): TpxError {
  const text = messageOf(error)
  if (/\/dev\/net\//.test(text))
    return new TpxError('TUN_UNAVAILABLE', 'The Docker Engine has no TUN device to give to a container', {
      cause: error,
      hint: 'Load it where the engine runs: "modprobe tun"; /dev/net/tun must exist there',
    })
  return error instanceof TpxError
    ? error
    : new TpxError('TUNNEL_FAILED', `The tunnel container cannot start: ${text.trim()}`, {
        cause: error,
        hint: 'See what "docker info" says of the engine',
      })
}

/** Rejects when the tunnel container ends, so that a crash is not waited out. */
async function watchTunnel(engine: ContainerEngine, id: string, signal: AbortSignal): Promise<never> {
  const { State } = await engine.inspect(id)
  for (;;) {
    await sleep(400, undefined, { signal })
    const now = (await engine.inspect(id)).State
    if (now.Running && now.StartedAt === State.StartedAt) continue
    const last = (await engine.logs(id, 5)).trim().split('\n').at(-1) ?? ''
    throw new TpxError('TUNNEL_FAILED', `The tunnel container ended with status ${now.ExitCode}: ${last}`, {
      hint: `See "docker logs ${id.slice(0, 12)}"`,
    })
  }
}

async function startTunnel(options: ConnectOptions, settings: ConnectionSettings, holderId: string): Promise<string> {
  const { engine } = options
  const user = userInfo().username
  const { clusterDomain, image, tunnelLogLevel } = startSettings(options.clientConfig)
  const id = await engine.createContainer(
    tunnelSpec(settings, {
      carrierDir: join(runtimeDir(settings.name), 'carrier'),
      clientConfig: options.clientConfig,
      clientName: `${user}@${hostname()}`,
      clusterDomain,
      holderId,
      image,
      installId: createHash('sha256').update(`${hostname()} ${user}`).digest('hex').slice(0, 32),
      logLevel: tunnelLogLevel,
    }),
  )
  await engine.startContainer(id).catch((error: unknown) => {
    throw tunnelStartError(error)
  })
  return id
}

/** A tunnel that joined another holder can never start again; one of an image that has been upgraded since makes room for the new one. */
async function mustBeReplaced(
  engine: ContainerEngine,
  tunnelId: string,
  { holderId, image }: { holderId: string; image: string },
): Promise<boolean> {
  const [{ HostConfig, Image }, wanted] = await Promise.all([engine.inspect(tunnelId), engine.imageId(image)])
  return HostConfig.NetworkMode !== `container:${holderId}` || (wanted !== undefined && Image !== wanted)
}

/** Makes what is missing of holder and tunnel; answers their ids. */
async function ensureContainers(
  options: ConnectOptions,
  settings: ConnectionSettings,
  existing: Connection | undefined,
): Promise<{ holderId: string; tunnelId: string }> {
  const { clientConfig, engine, network } = options
  const { clusterDomain, image } = startSettings(clientConfig)
  const find = (role: string) => existing?.containers.find(({ labels }) => labels[LABEL.role] === role)
  const holder = find('holder')
  let tunnel = find('tunnel')
  const holderId = holder?.id ?? (await engine.createContainer(holderSpec(settings, { clusterDomain, image, network })))
  if (holder?.state !== 'running') await engine.startContainer(holderId)
  if (tunnel && (await mustBeReplaced(engine, tunnel.id, { holderId, image }))) {
    await engine.removeContainer(tunnel.id)
    tunnel = undefined
  }
  if (!tunnel) return { holderId, tunnelId: await startTunnel(options, settings, holderId) }
  if (tunnel.state !== 'running')
    await engine.startContainer(tunnel.id).catch((error: unknown) => {
      throw tunnelStartError(error)
    })
  return { holderId, tunnelId: tunnel.id }
}

/** A link that lives on gets this shell's environment: the user may have signed in with it since. */
async function ensureLink({ onProgress, root, settings }: ConnectOptions, carrier: CarrierChoice): Promise<ControlClient> {
  const live = await openControl(settings.name)
  if (!live) return startLink(settings, { carrier, environment: process.env, onProgress, root })
  await live.call('link.environment', { variables: process.env as Record<string, string> }).catch(() => {})
  return live
}

/** Takes back what a failed connect made; what was there before stays. */
async function undo(options: ConnectOptions, existing: Connection | undefined, control: ControlClient | undefined): Promise<void> {
  if (existing) return control?.close()
  await control?.call('link.quit', {}).catch(() => {})
  control?.close()
  const { engine, settings } = options
  for (const { id } of await engine.listContainers({ [LABEL.connection]: settings.name })) await engine.removeContainer(id)
}

/**
 * Connects: link (which checks the cluster first, so that bad input touches nothing), holder, tunnel, session.
 * Repeats what is missing of a connection that is there. A failure takes back what it made.
 * @throws TpxError of the first leg that failed
 */
export async function connect(options: ConnectOptions): Promise<Connected> {
  const { engine, onProgress } = options
  // First of all: what is there must neither be changed nor taken back.
  const existing = await checkExisting(engine, options)
  const info = engine.info()
  info.catch(() => {})
  let control: ControlClient | undefined
  const stop = new AbortController()
  try {
    const { carrier, connectMs } = startSettings(options.clientConfig)
    control = await ensureLink(options, existing?.settings.carrier ?? carrier)
    const settings = { ...options.settings, carrier: existing?.settings.carrier ?? chooseCarrier(carrier, await info) }
    onProgress(existing ? `Using connection "${settings.name}"` : `Starting connection "${settings.name}"`)
    const { holderId, tunnelId } = await ensureContainers(options, settings, existing)
    const session = await Promise.race([
      control.call('connect', { timeoutMs: connectMs }, { onProgress }),
      watchTunnel(engine, tunnelId, stop.signal),
    ])
    // A tunnel of an older version has no such method.
    const made = existing && (await control.call('config', {}).catch(() => undefined))
    const changed = made ? changedKeys(made.client, options.clientConfig) : []
    if (changed.length > 0)
      onProgress(`The connection keeps the settings it was made with; "tpx quit" and a new connect change ${changed.join(', ')}`)
    return { changed, control, holderId, isNew: !existing, session, settings }
  } catch (error) {
    await undo(options, existing, control).catch(() => {})
    throw asTpxError(error)
  } finally {
    stop.abort()
  }
}
