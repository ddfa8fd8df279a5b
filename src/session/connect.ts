import { createHash } from 'node:crypto'
import { hostname, release, userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { asTpxError, messageOf, TpxError } from '../base/error.ts'
import { pollUntil } from '../base/retry.ts'
import type { ContainerEngine, EngineInfo } from '../container/container-engine.ts'
import { type ConnectionSettings, type HolderNetwork, holderSpec } from '../container/holder-container.ts'
import { tunnelImage } from '../container/image.ts'
import { LABEL } from '../container/labels.ts'
import { tunnelSpec } from '../container/tunnel-container.ts'
import { type CarrierChoice, type ClientConfig, CLIENT_CONFIG_DEFAULTS } from '../wire/client-config.ts'
import type { ControlClient } from '../wire/control-channel.ts'
import type { SessionStatus } from '../wire/control.ts'
import { changedKeys } from './config-view.ts'
import { isSameChoice } from '../wire/link-environment.ts'
import { type Connection, listConnections } from './connection.ts'
import { fallbackNameservers } from './fallback-nameservers.ts'
import { type LinkFacts, openControl, startLink } from './link-process.ts'
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

type DomainOptions = ConnectOptions & { clusterDomain: string }
type Made = { clusterDomain: string; connected: Connected; isNewHolder: boolean }

const USUAL_CLUSTER_DOMAIN = 'cluster.local'
/** A link that was told to end is gone well within this. */
const LINK_END_MS = 3000

/** A socket can be shared by bind mount only where the engine runs on this very kernel and sees this file system. */
function chooseCarrier(wanted: CarrierChoice, info: EngineInfo): 'exec' | 'unix' {
  if (wanted !== 'auto') return wanted
  const host = process.env['DOCKER_HOST'] ?? 'unix://'
  return host.startsWith('unix://') && info.kernelVersion === release() && info.hostName === hostname() && !info.rootless ? 'unix' : 'exec'
}

/** What a configuration sets for the containers and for the start, with the defaults of what it does not say. */
function startSettings({ docker, images, logLevels, timeouts }: ClientConfig) {
  const defaults = CLIENT_CONFIG_DEFAULTS
  return {
    carrier: docker?.carrier ?? defaults.docker.carrier,
    connectMs: timeouts?.trafficManagerConnect ?? defaults.timeouts.trafficManagerConnect,
    image: tunnelImage(images),
    tunnelLogLevel: logLevels?.tunnel ?? defaults.logLevels.tunnel,
  }
}

/** What must be the same for a connection to be used again. */
function isSame(a: ConnectOptions['settings'], b: ConnectOptions['settings']): boolean {
  return isSameChoice({ ...a, ...a.impersonate }, { ...b, ...b.impersonate })
}

async function checkExisting(engine: ContainerEngine, { network, settings }: ConnectOptions): Promise<Connection | undefined> {
  const existing = (await listConnections(engine)).find((one) => one.settings.name === settings.name)
  if (!existing) return undefined
  const { context, impersonate, kubeconfig, managerNamespace, namespace } = existing.settings
  if (!isSame(existing.settings, settings))
    throw new TpxError(
      'CONNECTION_EXISTS',
      `A connection "${settings.name}" exists, to namespace "${namespace}" of context "${context}"${impersonate.as ? ` as "${impersonate.as}"` : ''} (kubeconfig "${kubeconfig}", manager namespace "${managerNamespace}")`,
      { hint: 'Give this one another name with --name, or run "tpx quit" first' },
    )
  if (!(await fitsHolder(engine, existing, network)))
    throw new TpxError(
      'CONNECTION_EXISTS',
      `The connection "${settings.name}" exists already, so that ports, hostname, extra hosts and network cannot be set any more`,
      { hint: 'Give this one another name with --name, or run "tpx quit" first' },
    )
  return existing
}

/** Whether the holder that is there has what is asked for; of what can be asked, only a network is looked at. */
async function fitsHolder(engine: ContainerEngine, { containers }: Connection, network: HolderNetwork): Promise<boolean> {
  const { network: wanted, ...others } = network
  if (Object.keys(others).length > 0) return false
  const holder = containers.find(({ labels }) => labels[LABEL.role] === 'holder')
  return !wanted || !holder || (await engine.inspect(holder.id)).HostConfig.NetworkMode === wanted
}

/** @throws TpxError NETWORK_NOT_FOUND */
async function checkNetwork(engine: ContainerEngine, { network }: HolderNetwork): Promise<void> {
  if (network && !(await engine.hasNetwork(network)))
    throw new TpxError('NETWORK_NOT_FOUND', `The Docker Engine has no network "${network}"`, { hint: `docker network create ${network}` })
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

async function startTunnel(options: DomainOptions, settings: ConnectionSettings, holderId: string): Promise<string> {
  const { clusterDomain, engine } = options
  const user = userInfo().username
  const { image, tunnelLogLevel } = startSettings(options.clientConfig)
  const id = await engine.createContainer(
    tunnelSpec(settings, {
      carrierDir: join(runtimeDir(settings.name), 'carrier'),
      clientConfig: options.clientConfig,
      clientName: `${user}@${hostname()}`,
      clusterDomain,
      fallbackNameservers: await fallbackNameservers(process.env['TPX_HOST_NAMESERVERS']),
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
  options: DomainOptions,
  settings: ConnectionSettings,
  existing: Connection | undefined,
): Promise<{ holderId: string; isNewHolder: boolean; tunnelId: string }> {
  const { clientConfig, clusterDomain, engine, network } = options
  const { image } = startSettings(clientConfig)
  const find = (role: string) => existing?.containers.find(({ labels }) => labels[LABEL.role] === role)
  const holder = find('holder')
  let tunnel = find('tunnel')
  const holderId = holder?.id ?? (await engine.createContainer(holderSpec(settings, { clusterDomain, image, network })))
  if (holder?.state !== 'running') await engine.startContainer(holderId)
  if (tunnel && (await mustBeReplaced(engine, tunnel.id, { holderId, image }))) {
    await engine.removeContainer(tunnel.id)
    tunnel = undefined
  }
  const isNewHolder = !holder
  if (!tunnel) return { holderId, isNewHolder, tunnelId: await startTunnel(options, settings, holderId) }
  if (tunnel.state !== 'running')
    await engine.startContainer(tunnel.id).catch((error: unknown) => {
      throw tunnelStartError(error)
    })
  return { holderId, isNewHolder, tunnelId: tunnel.id }
}

type OpenLink = { clusterDomain?: string; control: ControlClient }

/** A link that lives on gets this shell's environment: the user may have signed in with it since. */
async function ensureLink({ onProgress, root, settings }: ConnectOptions, carrier: CarrierChoice): Promise<OpenLink> {
  const live = await openControl(settings.name)
  if (live) {
    const { impersonate, ...choice } = settings
    try {
      await live.call('link.environment', { choice: { ...choice, ...impersonate }, variables: process.env as Record<string, string> })
      return { control: live }
    } catch (error) {
      // A link of another version may not know the call.
      if (asTpxError(error).code !== 'CONNECTION_EXISTS') return { control: live }
      live.close()
      throw error
    }
  }

  let facts: LinkFacts = {}
  const onReady = (found: LinkFacts): void => void (facts = found)
  const control = await startLink(settings, { carrier, environment: process.env, onProgress, onReady, root })
  return { control, ...(facts.clusterDomain ? { clusterDomain: facts.clusterDomain } : {}) }
}

/** Ends a new connection, so that it can be made again. */
async function takeApart(options: ConnectOptions, control: ControlClient): Promise<void> {
  await control.call('quit', {}).catch(() => {})
  await undo(options, undefined, control)
  const isGone = async (): Promise<true | undefined> => {
    const live = await openControl(options.settings.name)
    live?.close()
    return live ? undefined : true
  }
  await pollUntil(isGone, { everyMs: 20, timeoutMs: LINK_END_MS })
}

/** Takes back what a failed connect made; what was there before stays. */
async function undo(options: ConnectOptions, existing: Connection | undefined, control: ControlClient | undefined): Promise<void> {
  // Without a link nothing was made; what is there under this name belongs to somebody else.
  if (existing || !control) return control?.close()
  await control.call('link.quit', {}).catch(() => {})
  control?.close()
  const { engine, settings } = options
  for (const { id } of await engine.listContainers({ [LABEL.connection]: settings.name })) await engine.removeContainer(id)
}

/** @param domain the cluster's, where it is known for sure */
async function connectOnce(options: ConnectOptions, existing: Connection | undefined, domain: string | undefined): Promise<Made> {
  const { engine, onProgress } = options
  const info = engine.info()
  info.catch(() => {})
  let control: ControlClient | undefined
  const stop = new AbortController()
  try {
    const { carrier, connectMs } = startSettings(options.clientConfig)
    const link = await ensureLink(options, existing?.settings.carrier ?? carrier)
    ;({ control } = link)
    const settings = { ...options.settings, carrier: existing?.settings.carrier ?? chooseCarrier(carrier, await info) }
    onProgress(existing ? `Using connection "${settings.name}"` : `Starting connection "${settings.name}"`)
    const clusterDomain = domain ?? link.clusterDomain ?? USUAL_CLUSTER_DOMAIN
    const { holderId, isNewHolder, tunnelId } = await ensureContainers({ ...options, clusterDomain }, settings, existing)
    const session = await Promise.race([
      control.call('connect', { timeoutMs: connectMs }, { onProgress }),
      watchTunnel(engine, tunnelId, stop.signal),
    ])
    // A tunnel of an older version has no such method.
    const made = existing && (await control.call('config', {}).catch(() => undefined))
    const changed = made ? changedKeys(made.client, options.clientConfig) : []
    if (changed.length > 0)
      onProgress(`The connection keeps the settings it was made with; "tpx quit" and a new connect change ${changed.join(', ')}`)
    return { clusterDomain, connected: { changed, control, holderId, isNew: !existing, session, settings }, isNewHolder }
  } catch (error) {
    await undo(options, existing, control).catch(() => {})
    throw asTpxError(error)
  } finally {
    stop.abort()
  }
}

/**
 * Connects: link (which checks the cluster first, so that bad input touches nothing), holder, tunnel, session.
 * Repeats what is missing of a connection that is there. A failure takes back what it made.
 *
 * The holder's search list needs the cluster's domain before there is a session that could tell it. Where neither the user nor the
 * traffic-manager's Pod says it, the usual one is taken, and a new connection is made once more in the rare cluster with another.
 * @throws TpxError of the first leg that failed
 */
export async function connect(options: ConnectOptions): Promise<Connected> {
  // First of all: what is there must neither be changed nor taken back.
  const existing = await checkExisting(options.engine, options)
  if (!existing) await checkNetwork(options.engine, options.network)
  const wanted = options.clientConfig.cluster?.clusterDomain?.replaceAll(/^\.|\.$/g, '') || undefined
  const { clusterDomain, connected, isNewHolder } = await connectOnce(options, existing, wanted)
  const actual = connected.session.clusterDomain
  if (wanted || existing || !isNewHolder || actual === clusterDomain) return connected
  options.onProgress(`The domain of this cluster is "${actual}": making the connection anew`)
  await takeApart(options, connected.control)
  return (await connectOnce(options, undefined, actual)).connected
}
