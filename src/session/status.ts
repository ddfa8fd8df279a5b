import { setTimeout as sleep } from 'node:timers/promises'
import { asTpxError, TpxError } from '../base/error.ts'
import { StateClock } from '../base/state-clock.ts'
import type { ConnectionSettings } from '../container/holder-container.ts'
import { LABEL } from '../container/labels.ts'
import type { ControlClient } from '../wire/control-channel.ts'
import type { Attachment, DnsStatus, LinkStatus, StatusLeg, TunnelStatus } from '../wire/control.ts'
import { type Connection, type EngineSource, listConnections, restartLink } from './connection.ts'
import { openControl } from './link-process.ts'
import { runtimeConnections } from './runtime-dir.ts'
import { within } from './within.ts'

/** An attachment without what must not be shown. */
export type ShownAttachment = Omit<Attachment, 'environment'>

/** What `tpx status` says of a connection. */
export type ConnectionStatus = {
  attachments: ShownAttachment[]
  /** The first leg that is not up says why. */
  cause: string | null
  containers: { name: string; role: string; state: string }[]
  dns: DnsStatus | null
  /** What tpx does about it. */
  doing: string | null
  /** When a byte last came back from the traffic-manager, through link and API: ISO 8601, and how long ago. */
  lastProven: { agoMs: number; at: string } | null
  /** From here to the agents; each depends on those before it. */
  legs: StatusLeg[]
  link: Omit<LinkStatus, 'legs'> | null
  /** What the user can do about it. */
  next: string | null
  settings: ConnectionSettings
  state: 'connected' | 'degraded'
  tunnel: Omit<TunnelStatus, 'attachments' | 'dns' | 'legs'> | null
}

/** How long the engine, the link and the tunnel are each waited for. */
const LIMIT_MS = 2000
/** How long a dead link is left to its supervisor. */
const SUPERVISOR_MS = 1500
const RESTART_LIMIT_MS = 3500
/** After a restart of a link that failed. */
const RESTART_PAUSE_MS = 3000

/** Values of the environment are secrets: only the names are shown. */
export function withoutSecrets(attachment: Attachment): ShownAttachment {
  return omit(attachment, ['environment'])
}

/** How a status is asked for. */
export type StatusOptions = {
  engine: EngineSource
  /** An answer of the engine that is younger is believed, milliseconds; 0 for a single look. */
  engineMaxAgeMs: number
  /** How long the engine, the link and the tunnel are each waited for; default 2 s. */
  limitMs?: number
  root: string
  use: string | undefined
}

type Restart = { endedAt: number | null; error: TpxError | null; work: Promise<void> }
type Known = Pick<Connection, 'settings'> & Partial<Connection>
type Asked = { legs: StatusLeg[]; link: LinkStatus | null; tunnel: TunnelStatus | null }

/** Looks at all legs of the connections; every question has a limit, so that a look is short whatever hangs. */
export class StatusProbe {
  readonly #clock = new StateClock()
  readonly #limitMs: number
  readonly #options: StatusOptions
  readonly #restarts = new Map<string, Restart>()
  #engineLeg: StatusLeg = { name: 'engine', state: 'unknown' }
  #engineError: TpxError | null = null
  #known: Connection[] = []
  #listedAt = -Infinity
  #listing: Promise<void> | undefined

  constructor({ limitMs = LIMIT_MS, ...options }: StatusOptions) {
    this.#limitMs = limitMs
    this.#options = options
  }

  /** Whether the link of a connection is just being started, which outlives a look. */
  get isStarting(): boolean {
    return [...this.#restarts.values()].some(({ endedAt }) => endedAt === null)
  }

  /**
   * The state of all connections, or of the one that is meant. A dead link is started again on the way.
   * @throws TpxError DOCKER_UNREACHABLE where there is neither an engine nor a live link
   */
  async look(): Promise<ConnectionStatus[]> {
    await this.#askEngine()
    const known = await this.#connections()
    if (known.length === 0 && this.#engineError) throw this.#engineError
    return Promise.all(known.map((connection) => this.#statusOf(connection)))
  }

  async #askEngine(): Promise<void> {
    if (performance.now() - this.#listedAt < this.#options.engineMaxAgeMs) return
    this.#listing ??= this.#list().finally(() => (this.#listing = undefined))
    const isAnswered = await within(
      this.#listing.then(() => true),
      this.#limitMs,
    )
    if (!isAnswered)
      this.#lose(
        new TpxError('DOCKER_UNREACHABLE', `The Docker Engine has not answered for ${this.#limitMs / 1000} s`, {
          hint: 'See what "docker info" says',
        }),
      )
    this.#listedAt = performance.now()
  }

  async #list(): Promise<void> {
    try {
      const engine = await this.#options.engine()
      const began = performance.now()
      this.#known = await listConnections(engine)
      this.#engineError = null
      this.#engineLeg = { name: 'engine', roundTripMs: tenths(performance.now() - began), state: 'up' }
    } catch (error) {
      this.#lose(asTpxError(error))
    }
  }

  #lose(error: TpxError): void {
    this.#engineError = error
    this.#engineLeg = { detail: error.message, name: 'engine', state: 'down', ...(error.hint ? { next: error.hint } : {}) }
  }

  /** What the engine knows; while it is away, what it knew, and whose link is alive. */
  async #connections(): Promise<Known[]> {
    const { use } = this.#options
    const isMeant = ({ settings }: Known): boolean => use === undefined || settings.name === use
    const known: Known[] = this.#known.filter(isMeant)
    if (!this.#engineError) return known
    const names = runtimeConnections().filter((name) => !this.#known.some(({ settings }) => settings.name === name))
    const alive = await Promise.all(names.map((name) => settingsOfLink(name, this.#limitMs)))
    return [...known, ...alive.flatMap((settings) => (settings ? [{ settings }] : [])).filter(isMeant)]
  }

  async #statusOf(known: Known): Promise<ConnectionStatus> {
    const { legs: asked, link, tunnel } = await this.#ask(known)
    const isLasting = this.#options.engineMaxAgeMs > 0
    // A single look cannot tell since when.
    const own = [this.#engineLeg, ...asked.filter(({ name }) => name === 'link')].map((leg) =>
      isLasting ? { ...leg, since: this.#clock.since(`${known.settings.name} ${leg.name}`, leg.state) } : leg,
    )
    const legs = [...own, ...asked.filter(({ name }) => name !== 'link')]
    const broken = legs.filter(({ state }) => state !== 'up' && state !== 'unknown')
    const first = (key: 'detail' | 'doing' | 'next'): string | null => broken.find((leg) => leg[key] !== undefined)?.[key] ?? null
    const agoMs = lastProvenMs(tunnel)
    return {
      attachments: (tunnel?.attachments ?? []).map(withoutSecrets),
      cause: first('detail'),
      containers: (known.containers ?? []).map(({ labels, name, state }) => ({ name, role: labels[LABEL.role] ?? '', state })),
      dns: tunnel?.dns ?? null,
      doing: first('doing'),
      lastProven: agoMs === null ? null : { agoMs, at: new Date(Date.now() - agoMs).toISOString() },
      legs,
      link: link && omit(link, ['legs']),
      next: broken[0]?.next ?? null,
      settings: known.settings,
      state: legs.every(({ state }) => state === 'up') ? 'connected' : 'degraded',
      tunnel: tunnel && omit(tunnel, ['attachments', 'dns', 'legs']),
    }
  }

  async #ask(known: Known): Promise<Asked> {
    const { name } = known.settings
    const control = (await within(openControl(name), this.#limitMs)) ?? (await this.#startLink(known))
    if (!control) return behindLink(this.#startingLeg(name))
    try {
      return await askLink(control, known.settings.name, this.#limitMs)
    } finally {
      control.close()
    }
  }

  /** Starts a dead link, if its containers are known, and waits a little for it. */
  async #startLink(known: Known): Promise<ControlClient | undefined> {
    const { name } = known.settings
    const { containers, settings } = known
    const last = this.#restarts.get(name)
    const isDue = !last || (last.endedAt !== null && performance.now() - last.endedAt > RESTART_PAUSE_MS)
    if (isDue && containers) {
      const restart: Restart = { endedAt: null, error: null, work: Promise.resolve() }
      restart.work = this.#restart({ containers, settings })
        .catch((error: unknown) => void (restart.error = asTpxError(error)))
        .finally(() => (restart.endedAt = performance.now()))
      this.#restarts.set(name, restart)
    }
    const restart = this.#restarts.get(name)
    if (!restart) return undefined
    await within(restart.work, RESTART_LIMIT_MS)
    return restart.endedAt === null || restart.error ? undefined : openControl(name)
  }

  /** Only what stays dead: a supervisor may be at it, or somebody who ends the connection. */
  async #restart({ containers, settings }: Connection): Promise<void> {
    await sleep(SUPERVISOR_MS)
    const alive = await openControl(settings.name)
    if (alive) return alive.close()
    const isThere = (await listConnections(await this.#options.engine())).some((one) => one.settings.name === settings.name)
    if (!isThere) return
    const control = await restartLink({ containers, settings }, this.#options.root)
    control.close()
  }

  #startingLeg(name: string): StatusLeg {
    const restart = this.#restarts.get(name)
    const doing = restart ? { doing: 'starting it again' } : {}
    if (!restart?.error) return { detail: 'The link process is not running', ...doing, name: 'link', state: 'connecting' }
    const { hint, message } = restart.error
    return { detail: `The link does not start: ${message}`, ...doing, name: 'link', ...(hint ? { next: hint } : {}), state: 'down' }
  }
}

/** The last answer of the manager, or the last byte of the data stream: both come from the far end. */
function lastProvenMs(tunnel: TunnelStatus | null): number | null {
  const ages = [tunnel?.lastAnswerMs, tunnel?.legs.find(({ name }) => name === 'data')?.lastProvenMs]
  const known = ages.filter((age) => typeof age === 'number')
  return known.length > 0 ? Math.min(...known) : null
}

/** Link and tunnel are asked side by side, and a tunnel that the link does not see is not waited for. */
async function askLink(control: ControlClient, connection: string, limitMs: number): Promise<Asked> {
  const began = performance.now()
  let failure = ''
  const asking = control.call('status', {}).catch((error: unknown) => {
    failure = `: ${asTpxError(error).message}`
    throw error
  })
  asking.catch(() => {})
  const link = await within(control.call('link.status', {}), limitMs)
  if (!link)
    return behindLink({
      detail: `The link process has not answered for ${limitMs / 1000} s`,
      name: 'link',
      next: `End it with: pkill -9 -f 'link.cjs.*--connection=${connection} '; any tpx command starts it again`,
      state: 'down',
    })
  const linkLeg: StatusLeg = { name: 'link', roundTripMs: tenths(performance.now() - began), state: 'up' }
  const isTunnelUp = link.legs.some(({ name, state }) => name === 'tunnel' && state === 'up')
  const tunnel = isTunnelUp ? await within(asking, limitMs) : undefined
  if (tunnel) return { legs: [linkLeg, ...link.legs, ...tunnel.legs], link, tunnel }
  const silent: StatusLeg = {
    detail: failure ? `The tunnel container does not answer${failure}` : `The tunnel container has not answered for ${limitMs / 1000} s`,
    name: 'tunnel',
    next: `docker restart tpx-${connection}-tunnel`,
    state: 'down',
  }
  const legs = link.legs.map((leg) => (leg.name === 'tunnel' && leg.state === 'up' ? silent : leg))
  return { legs: [linkLeg, ...legs, { name: 'manager', state: 'unknown' }], link, tunnel: null }
}

/** Without the link nobody knows about the rest. */
function behindLink(leg: StatusLeg): Asked {
  const unknown = ['tunnel', 'api', 'manager'].map((name) => ({ name, state: 'unknown' as const }))
  return { legs: [leg, ...unknown], link: null, tunnel: null }
}

async function settingsOfLink(name: string, limitMs: number): Promise<ConnectionSettings | undefined> {
  const control = await within(openControl(name), limitMs)
  if (!control) return undefined
  const link = await within(control.call('link.status', {}), limitMs)
  control.close()
  if (!link) return undefined
  const { carrier, context, managerNamespace, namespace } = link
  return { carrier, context, impersonate: {}, kubeconfig: '', linkLogLevel: '', managerNamespace, name, namespace }
}

const WATCH_MS = 1000
const WATCH_ENGINE_MS = 2500

/** Numbers that change all the time are no change. */
function essence(connections: ConnectionStatus[]): string {
  const volatile = new Set(['agoMs', 'at', 'lastAnswerMs', 'lastProvenMs', 'residentBytes', 'roundTripMs'])
  const text = JSON.stringify(connections, (key, value: unknown) => (volatile.has(key) ? undefined : value))
  return text.replaceAll(/ \d+(?:\.\d+)? s\b/g, ' # s')
}

/**
 * Looks again and again, once a second at the links, and at the engine every two and a half.
 * @yields each look; `isChange` tells whether something else than a number has changed
 */
export async function* watchStatus(
  options: Omit<StatusOptions, 'engineMaxAgeMs'>,
): AsyncGenerator<{ connections: ConnectionStatus[]; isChange: boolean }, never> {
  const probe = new StatusProbe({ ...options, engineMaxAgeMs: WATCH_ENGINE_MS })
  for (let last: string | undefined; ;) {
    const connections = await probe.look().catch((error: unknown) => {
      // It was there, or it comes: the watch goes on.
      if (last !== undefined && asTpxError(error).code === 'DOCKER_UNREACHABLE') return []
      throw error
    })
    const now = essence(connections)
    yield { connections, isChange: now !== last }
    last = now
    await sleep(WATCH_MS)
  }
}

const tenths = (ms: number): number => Math.round(ms * 10) / 10

function omit<T extends object, K extends keyof T>(value: T, keys: K[]): Omit<T, K> {
  return Object.fromEntries(Object.entries(value).filter(([key]) => !keys.includes(key as K))) as Omit<T, K>
}
