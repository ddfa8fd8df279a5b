import { setTimeout as sleep } from 'node:timers/promises'
import { create } from '@bufbuild/protobuf'
import { EmptySchema } from '@bufbuild/protobuf/wkt'
import * as grpc from '@grpc/grpc-js'
import { TpxError } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import { keepTrying } from '../base/retry.ts'
import type { CarrierTarget } from '../wire/carrier.ts'
import { CLIENT_CONFIG_DEFAULTS } from '../wire/client-config.ts'
import type { Leg } from '../wire/control.ts'
import { type AgentPodInfo, ClientInfoSchema, type InterceptInfo, RemainRequestSchema } from '../wire/generated/manager_pb.ts'
import { ANNOUNCED_VERSION, CLIENT_PRODUCT, MANAGER_API_PORT, MANAGER_SERVICE } from '../wire/versions.ts'
import type { Carrier } from './carrier.ts'
import { Cell } from './cell.ts'
import type { ClientSettings } from './client-settings.ts'
import { clientConfigOf, type ClusterView, clusterView } from './cluster-view.ts'
import { openGrpcChannel } from './grpc-channel.ts'
import { asManagerError, isSessionUnknown, type ManagerClient, openManagerClient, sessionInfo, within } from './manager-client.ts'
import type { Settings } from './settings.ts'
import { watchStream } from './watch-stream.ts'

/** Two beats a loss: noticed within 4.5 s. Each renews the session (Remain), for which one in 5 s would do. */
const BEAT_MS = 2000
const BEAT_LIMIT_MS = 2500
/** How often the manager's client configuration is read again: no stream tells of its changes. */
const CONFIG_EVERY_MS = 10_000
const BACKOFF = { firstMs: 50, mostMs: 2000 }

/** How the session with the manager is. */
export type ManagerState = {
  /** null until the manager told it; kept while the manager is away. */
  cluster: ClusterView | null
  /** Of the last try that failed; null while it is up. */
  error: TpxError | null
  /** How many tries have failed, so that a waiter can tell a new failure from an old one. */
  failures: number
  /** Whether this tunnel has been in a session before: a number taken over from another tunnel is no session yet. */
  hasArrived: boolean
  leg: Leg
  managerName: string
  managerVersion: string
  /** Kept over a lost link: the manager remembers it for 90 s. */
  sessionId: string | null
}

/** Where the manager's client API is. */
export function managerTarget(namespace: string): CarrierTarget {
  return { kind: 'svc', name: MANAGER_SERVICE, namespace, port: MANAGER_API_PORT }
}

/** The session with the traffic-manager: begun again whenever it is lost, for as long as the tunnel runs. */
export class ManagerSession {
  readonly agentPods = new Cell<readonly AgentPodInfo[]>([])
  readonly intercepts = new Cell<readonly InterceptInfo[]>([])
  readonly state = new Cell<ManagerState>({
    cluster: null,
    error: null,
    failures: 0,
    hasArrived: false,
    leg: { state: 'connecting' },
    managerName: '',
    managerVersion: '',
    sessionId: null,
  })
  lastAnswerAt: number | null = null
  /** When a lost session is tried again, by performance.now(); null while a try runs. */
  nextTryAt: number | null = null
  roundTripMs: number | null = null
  /** Called when answers stopped although nothing was closed: whatever hangs on the same path is frozen. */
  onFrozen: () => void = () => {}
  /** Called when the manager has forgotten the session: it is another process, and connections that it carried are gone. */
  onSessionLost: () => void = () => {}
  readonly #carrier: Carrier
  readonly #clientSettings: ClientSettings
  readonly #configEveryMs: number
  readonly #logger: Logger
  readonly #settings: Settings
  #client: ManagerClient | null = null
  #downSince = performance.now()

  /** @param options `client` is given the manager's client configuration */
  /** @param options `configEveryMs`: how often the client configuration is read again, at most; for tests */
  constructor(options: { carrier: Carrier; client: ClientSettings; configEveryMs?: number; logger: Logger; settings: Settings }) {
    this.#configEveryMs = options.configEveryMs ?? CONFIG_EVERY_MS
    this.#carrier = options.carrier
    this.#clientSettings = options.client
    this.#logger = options.logger
    this.#settings = options.settings
  }

  /** Takes over the session of a tunnel before this one, if the manager still knows it. Before {@link run}. */
  resume(sessionId: string): void {
    this.state.patch({ sessionId })
  }

  /** Keeps the session until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await keepTrying(() => this.#live(signal), {
      backoff: BACKOFF,
      onError: (error) => this.#lose(error),
      onWait: (waitMs) => (this.nextTryAt = performance.now() + waitMs),
      signal,
    })
  }

  /**
   * Calls the manager.
   * @throws TpxError the manager's own, or MANAGER_UNREACHABLE when there is no session just now
   */
  async call<T>(work: (client: ManagerClient, sessionId: string) => Promise<T>): Promise<T> {
    const { sessionId } = this.state.value
    if (!this.#client || !sessionId) throw this.whyDown()
    try {
      const answer = await work(this.#client, sessionId)
      this.lastAnswerAt = performance.now()
      return answer
    } catch (error) {
      throw asManagerError(error)
    }
  }

  /** Waits for the session, but only over a short break. @throws TpxError why it is away */
  async waitShortly(limitMs: number): Promise<void> {
    if (this.#client) return
    if (performance.now() - this.#downSince > 2 * limitMs) throw this.whyDown()
    await this.state
      .until(({ leg }) => (leg.state === 'up' ? true : undefined), AbortSignal.timeout(limitMs))
      .catch(() => {
        throw this.whyDown()
      })
  }

  whyDown(): TpxError {
    return this.state.value.error ?? new TpxError('MANAGER_UNREACHABLE', 'The traffic-manager has not answered yet')
  }

  /** Tells the manager that this client goes; it removes what the client held. Waits 3 s at most. */
  async depart(): Promise<void> {
    const { sessionId } = this.state.value
    if (!this.#client || !sessionId) return
    await this.#client.depart(sessionInfo(sessionId), undefined, within(3000)).catch(() => {})
    this.state.patch({ sessionId: null })
  }

  /** One connection to the manager, from opening to loss. Never resolves to true: there is always a next one. */
  async #live(signal: AbortSignal): Promise<boolean> {
    this.nextTryAt = null
    const stream = await this.#carrier.open(managerTarget(this.#settings.managerNamespace), { signal })
    const channel = await openGrpcChannel(stream)
    const client = openManagerClient(channel.address)
    const ending = new AbortController()
    const stop = AbortSignal.any([signal, ending.signal])
    try {
      const [{ name, version }] = await Promise.all([
        client.version(create(EmptySchema), undefined, within(BEAT_LIMIT_MS * 2)),
        this.#readClientConfig(client),
      ])
      const sessionId = await this.#arrive(client)
      this.#client = client
      this.lastAnswerAt = performance.now()
      this.state.patch({ error: null, hasArrived: true, leg: { state: 'up' }, managerName: name, managerVersion: version, sessionId })
      this.#logger.info({ version }, 'session with the traffic-manager is up')
      await Promise.race([...this.#watches(client, sessionId, stop), this.#beat(client, sessionId, stop)])
      return false
    } catch (error) {
      if (isSessionUnknown(error)) this.#forget()
      throw error
    } finally {
      this.#client = null
      ending.abort()
      client.close()
      channel.close()
    }
  }

  /** The session of before, if the manager still knows it, or a new one. */
  async #arrive(client: ManagerClient): Promise<string> {
    const { sessionId } = this.state.value
    if (sessionId) {
      try {
        await client.remain(create(RemainRequestSchema, { session: sessionInfo(sessionId) }), undefined, within(this.#callLimitMs))
        return sessionId
      } catch (error) {
        if (!isSessionUnknown(error)) throw error
        this.#logger.warn('the traffic-manager has forgotten the session; a new one begins')
        this.#forget()
      }
    }

    const { clientName, installId, namespace } = this.#settings
    const arrival = create(ClientInfoSchema, {
      installId,
      name: clientName,
      namespace,
      product: CLIENT_PRODUCT,
      version: ANNOUNCED_VERSION,
    })
    const arrived = await client.arriveAsClient(arrival, undefined, within(this.#callLimitMs))
    // What the session of before held does not exist in this one.
    this.intercepts.set([])
    return arrived.sessionId
  }

  get #callLimitMs(): number {
    return this.#clientSettings.value.timeouts?.trafficManagerAPI ?? CLIENT_CONFIG_DEFAULTS.timeouts.trafficManagerAPI
  }

  /** A manager that has no such configuration, or fails to say it, is no reason to go without the rest. */
  async #readClientConfig(client: ManagerClient): Promise<void> {
    try {
      const { configYaml } = await client.getClientConfig(create(EmptySchema), undefined, within(BEAT_LIMIT_MS * 2))
      this.#clientSettings.setManagerText(Buffer.from(configYaml).toString(), this.#logger)
    } catch (error) {
      this.#logger.debug(`no client configuration from the traffic-manager: ${asManagerError(error).message}`)
    }
  }

  #watches(client: ManagerClient, sessionId: string, signal: AbortSignal): Promise<void>[] {
    const session = sessionInfo(sessionId)
    return [
      watchStream(client.watchClusterInfo(session), signal, (info) => {
        this.#clientSettings.setClusterInfo(clientConfigOf(info))
        this.state.patch({ cluster: clusterView(info, this.#settings.clusterDomain) })
      }),
      watchStream(client.watchIntercepts(session), signal, ({ intercepts }) => this.intercepts.set(intercepts)),
      watchStream(client.watchAgentPods(session), signal, ({ agents }) => this.agentPods.set(agents)),
    ]
  }

  async #beat(client: ManagerClient, sessionId: string, signal: AbortSignal): Promise<void> {
    const request = create(RemainRequestSchema, { session: sessionInfo(sessionId) })
    let configReadAt = performance.now()
    for (;;) {
      const began = performance.now()
      if (began - configReadAt >= this.#configEveryMs) {
        configReadAt = began
        void this.#readClientConfig(client)
      }
      try {
        await client.remain(request, undefined, within(BEAT_LIMIT_MS))
      } catch (error) {
        if ((error as Partial<grpc.ServiceError>).code === grpc.status.DEADLINE_EXCEEDED && !signal.aborted) this.onFrozen()
        throw error
      }

      this.lastAnswerAt = performance.now()
      this.roundTripMs = this.lastAnswerAt - began
      await sleep(BEAT_MS, undefined, { signal })
    }
  }

  #forget(): void {
    this.state.patch({ sessionId: null })
    this.onSessionLost()
  }

  #lose(error: unknown): void {
    const reason = asManagerError(error)
    const { failures, leg } = this.state.value
    if (leg.state === 'up') this.#downSince = performance.now()
    if (leg.detail !== reason.message) this.#logger.warn({ code: reason.code }, `no session with the traffic-manager: ${reason.message}`)
    this.state.patch({ error: reason, failures: failures + 1, leg: { detail: reason.message, state: 'down' } })
  }
}
