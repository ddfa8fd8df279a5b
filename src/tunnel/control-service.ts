import { ERROR_CODES } from '../base/error-codes.ts'
import { asTpxError, TpxError } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import { keepTrying } from '../base/retry.ts'
import { VERSION } from '../base/version.ts'
import { once } from 'node:events'
import type {
  Attachment,
  ControlMethod,
  ControlMethods,
  DnsStatus,
  DnsTrace,
  DnsTraceParams,
  Leg,
  SessionStatus,
  TunnelSnapshot,
  TunnelStatus,
} from '../wire/control.ts'
import { serveControl } from '../wire/control-channel.ts'
import { describeConflict } from '../wire/describe-conflict.ts'
import type { Attachments } from './attachments.ts'
import type { Carrier } from './carrier.ts'
import type { ClientSettings } from './client-settings.ts'
import type { DataSession } from './data-session.ts'
import type { ManagerSession } from './manager-session.ts'
import type { Readiness } from './readiness.ts'
import type { Routing } from './routing.ts'
import { translateLiterals } from './address-translation.ts'
import type { Settings } from './settings.ts'
import type { StatusLegs } from './status-legs.ts'
import type { WorkloadList } from './workload-list.ts'

const BACKOFF = { firstMs: 50, mostMs: 1000 }
/** The link's first call is there at once or never. */
const RESUME_LIMIT_MS = 1000

type Options = {
  attachments: Attachments
  client: ClientSettings
  data: DataSession
  /** Opens the stream that the link asks for. */
  dial: (id: string) => Promise<void>
  dns: () => DnsStatus
  legs: StatusLegs
  logger: Logger
  manager: ManagerSession
  /** Ends the program, after the answer is out. */
  onQuit: () => void
  /** Called once: with what to go on from, or null; the session begins then. */
  onResume: (snapshot: TunnelSnapshot | null) => void
  readiness: Readiness
  routing: Routing
  settings: Settings
  traceName: (params: DnsTraceParams) => Promise<DnsTrace>
  workloads: WorkloadList
}

type TunnelMethod = Exclude<ControlMethod, `link.${string}`>
type Handlers = {
  [M in TunnelMethod]: (params: ControlMethods[M]['params'], progress: (text: string) => void) => Promise<ControlMethods[M]['result']>
}

/** Answers the CLI's requests (wire/control.ts). */
export class ControlService {
  readonly #handlers: Handlers
  readonly #options: Options
  #isResumed = false

  constructor(options: Options) {
    this.#options = options
    const { attachments, routing, settings, workloads } = options
    this.#handlers = {
      attach: async (params, progress) => this.#translated(await attachments.attach(params, progress)),
      config: async () => ({ client: options.client.client, manager: options.client.manager }),
      connect: ({ timeoutMs }, progress) => this.#connect(timeoutMs, progress),
      dial: async ({ id }) => {
        await options.dial(id)
        return {}
      },
      'dns-trace': (params) => options.traceName(params),
      host: async (facts) => (routing.setHost(facts), {}),
      leave: async ({ name }) => ({ mount: await attachments.leave(name) }),
      list: ({ namespace }) => workloads.list(namespace ?? settings.namespace),
      quit: () => this.#quit(),
      resume: async ({ snapshot }) => this.#resume(snapshot),
      snapshot: async () => ({
        attachments: attachments.snapshot(),
        sessionId: options.manager.state.value.sessionId,
        virtual: routing.snapshot(),
      }),
      status: async () => this.status(),
    }
  }

  /** Keeps a control stream open towards the link until the signal aborts. */
  async run(carrier: Carrier, signal: AbortSignal): Promise<void> {
    const live = async (): Promise<boolean> => {
      const stream = await carrier.open({ kind: 'control' }, { signal })
      const stop = (): void => void stream.destroy()
      signal.addEventListener('abort', stop, { once: true })
      serveControl(stream, (method, params, progress) => this.handle(method, params, progress))
      // A link of another version may not know the call.
      const impatience = setTimeout(() => this.#resume(null), RESUME_LIMIT_MS)
      stream.once('end', stop)
      await once(stream, 'close').finally(() => {
        clearTimeout(impatience)
        signal.removeEventListener('abort', stop)
      })
      return false
    }
    await keepTrying(live, {
      backoff: BACKOFF,
      onError: (error) => this.#options.logger.debug(`no control stream: ${asTpxError(error).message}`),
      signal,
    })
  }

  /** @throws TpxError USAGE for a method that there is not */
  async handle(method: string, params: unknown, progress: (text: string) => void): Promise<unknown> {
    if (!Object.hasOwn(this.#handlers, method)) throw new TpxError('USAGE', `The tunnel has no method "${method}"`)
    const handler = this.#handlers[method as TunnelMethod] as (params: unknown, progress: (text: string) => void) => Promise<unknown>
    try {
      return await handler(params, progress)
    } catch (error) {
      const failure = asTpxError(error)
      if (failure.code === 'BUG') this.#options.logger.error({ err: failure.cause, method }, 'a request failed in a way not foreseen')
      throw failure
    }
  }

  status(): TunnelStatus {
    const { attachments, dns, legs, manager, settings } = this.#options
    return {
      attachments: attachments.list({ secrets: false }),
      dns: dns(),
      lastAnswerMs: manager.lastAnswerAt === null ? null : Math.round(performance.now() - manager.lastAnswerAt),
      legs: legs.list(),
      manager: this.#leg(),
      namespace: settings.namespace,
      residentBytes: process.memoryUsage.rss(),
      roundTripMs: manager.roundTripMs === null ? null : Math.round(manager.roundTripMs * 100) / 100,
      routing: this.#options.routing.status(),
      session: this.#session(),
      version: VERSION,
    }
  }

  #leg(): Leg {
    const { data, manager, readiness } = this.#options
    const { leg } = manager.state.value
    if (leg.state !== 'up') return leg
    const { error } = data.state.value
    if (error) return { detail: error.message, state: 'connecting' }
    const missing = readiness.missing()
    return missing ? { detail: missing, state: 'connecting' } : leg
  }

  #session(): SessionStatus | null {
    const { cluster, managerName, managerVersion } = this.#options.manager.state.value
    if (!cluster) return null
    const { clusterDomain, podSubnets, serviceSubnets } = cluster
    return { clusterDomain, managerName, managerVersion, podSubnets, serviceSubnets }
  }

  async #connect(timeoutMs: number, progress: (text: string) => void): Promise<SessionStatus> {
    const { readiness } = this.#options
    const limit = AbortSignal.timeout(timeoutMs)
    try {
      await readiness.wait(limit, { isFinal: (error) => ERROR_CODES[error.code][0] !== 'failed', progress })
    } catch (error) {
      if (!limit.aborted) throw error
      throw (
        readiness.lastError() ??
        new TpxError('MANAGER_UNREACHABLE', `Not connected after ${timeoutMs / 1000} s: ${readiness.missing() ?? ''}`)
      )
    }
    const { conflicts, virtual } = this.#options.routing.status()
    for (const conflict of conflicts) progress(describeConflict(conflict, virtual))
    const session = this.#session()
    if (!session) throw new TpxError('MANAGER_UNREACHABLE', 'The traffic-manager has said nothing about the cluster')
    return session
  }

  /** Literal addresses in the environment as the app must use them. */
  #translated(attachment: Attachment): Attachment {
    const { addresses } = this.#options.routing
    return { ...attachment, environment: translateLiterals(attachment.environment, (real) => addresses.toVirtual(real)) }
  }

  #resume(snapshot: TunnelSnapshot | null): Record<string, never> {
    if (!this.#isResumed) this.#options.onResume(snapshot)
    this.#isResumed = true
    return {}
  }

  async #quit(): Promise<Record<string, never>> {
    const { attachments, manager, onQuit } = this.#options
    await attachments.leaveAll()
    await manager.depart()
    setTimeout(onQuit, 100)
    return {}
  }
}
