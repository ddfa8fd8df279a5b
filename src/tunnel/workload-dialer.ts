import { once } from 'node:events'
import type http2 from 'node:http2'
import { create } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import { asTpxError, TpxError } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import { keepTrying } from '../base/retry.ts'
import { dataClient, DialError, formatAuthority, openDataStream, SOURCE_HEADER } from '../wire/data-stream.ts'
import { type AgentPodInfo, EnsureAgentRequestSchema } from '../wire/generated/manager_pb.ts'
import { OUTBOUND_KEY_METADATA } from '../wire/versions.ts'
import { callOptions } from './call-options.ts'
import type { Carrier } from './carrier.ts'
import { Cell } from './cell.ts'
import type { Destination, Dialer, EchoFlow, EchoHandlers, UdpFlow, UdpHandlers } from './dialer.ts'
import { EchoStream } from './echo-stream.ts'
import { destroyWhenSilent, loseSession } from './http2-liveness.ts'
import { sessionInfo } from './manager-client.ts'
import type { ManagerSession } from './manager-session.ts'
import { openTpx } from './tpx-stream.ts'
import { UdpStream } from './udp-stream.ts'

const BACKOFF = { firstMs: 100, mostMs: 5000 }
/** A workload without an agent is rolled out for it. */
const ENSURE_MS = 75_000
/** From the manager's word that there is an agent until its Pod is in the list. */
const POD_MS = 10_000
/** How long a dial waits for a session that is being opened again, milliseconds. */
const PATIENCE_MS = 5000
const SILENT_MS = 8000

type State = { error: TpxError | null; session: http2.ClientHttp2Session | null }

/** Opens connections from a Pod of one workload, through its traffic-agent (`TPX/1 outbound KEY`); another Pod takes over when one ends. */
export class WorkloadDialer implements Dialer {
  readonly state = new Cell<State>({ error: null, session: null })
  readonly #ending = new AbortController()
  readonly #options: { carrier: Carrier; logger: Logger; manager: ManagerSession }
  readonly #workload: string

  constructor(workload: string, options: { carrier: Carrier; logger: Logger; manager: ManagerSession }) {
    this.#options = options
    this.#workload = workload
    const { signal } = this.#ending
    void keepTrying(() => this.#live(signal), {
      backoff: BACKOFF,
      onError: (error) => {
        const reason = asTpxError(error)
        if (this.state.value.error?.message !== reason.message)
          options.logger.warn({ code: reason.code, workload }, `the workload does not dial: ${reason.message}`)
        this.state.set({ error: reason, session: null })
      },
      signal,
    })
  }

  async tcp(destination: Destination, options: { signal: AbortSignal; source: Destination }): Promise<http2.ClientHttp2Stream> {
    const session = await this.#session(options.signal)
    const headers = { [SOURCE_HEADER]: formatAuthority(options.source.address, options.source.port) }
    return openDataStream(session, formatAuthority(destination.address, destination.port), { headers, signal: options.signal })
  }

  udp(destination: Destination, handlers: UdpHandlers): UdpFlow {
    return new UdpStream((signal) => this.#session(signal), formatAuthority(destination.address, destination.port), handlers)
  }

  echo(address: string, handlers: EchoHandlers): EchoFlow {
    return new EchoStream((signal) => this.#session(signal), address, handlers)
  }

  close(): void {
    this.#ending.abort()
    const { session } = this.state.value
    if (session) loseSession(session)
  }

  async #session(signal: AbortSignal): Promise<http2.ClientHttp2Session> {
    const limited = AbortSignal.any([signal, this.#ending.signal, AbortSignal.timeout(PATIENCE_MS)])
    const usable = ({ session }: State): http2.ClientHttp2Session | undefined =>
      session && !session.closed && !session.destroyed ? session : undefined
    return this.state.until(usable, limited).catch(() => {
      throw new DialError('EHOSTUNREACH')
    })
  }

  /** One session with one Pod's agent, from asking for it to its loss. */
  async #live(signal: AbortSignal): Promise<boolean> {
    const { carrier, manager } = this.#options
    const sessionId = await manager.state.until(({ leg, sessionId }) => (leg.state === 'up' && sessionId) || undefined, signal)
    const key = await this.#askForKey(signal)
    const { apiPort, namespace, podName } = await this.#findPod(signal)
    const stream = await openTpx(carrier, { kind: 'pod', name: podName, namespace, port: apiPort }, ['outbound', key], signal)
    const session = dataClient(stream)
    const stop = (): void => loseSession(session)
    // The key ends with the session of the manager's that it was given in.
    const unwatch = manager.state.onChange((state) => {
      if (state.sessionId !== sessionId) stop()
    })
    signal.addEventListener('abort', stop)
    try {
      destroyWhenSilent(session, stream, SILENT_MS)
      session.once('connect', () => this.state.set({ error: null, session }))
      await once(session, 'close')
      throw new TpxError('AGENT_UNREACHABLE', `The stream to the traffic-agent of "${this.#workload}" in Pod "${podName}" was lost`)
    } finally {
      unwatch()
      signal.removeEventListener('abort', stop)
      stream.destroy()
    }
  }

  /** @throws TpxError WORKLOAD_NOT_FOUND, AGENT_NOT_READY, MANAGER_UNREACHABLE when the manager is older than this tpx */
  async #askForKey(signal: AbortSignal): Promise<string> {
    const metadata = new grpc.Metadata()
    metadata.set(OUTBOUND_KEY_METADATA, 'true')
    let key = ''
    const onTrailer = (trailer: grpc.Metadata): void => {
      key = String(trailer.get(OUTBOUND_KEY_METADATA)[0] ?? '')
    }
    const options = callOptions({ limitMs: ENSURE_MS, onTrailer, signal })
    await this.#options.manager.call((client, id) =>
      client.ensureAgent(create(EnsureAgentRequestSchema, { name: this.#workload, session: sessionInfo(id) }), metadata, options),
    )
    if (key) return key
    throw new TpxError('MANAGER_UNREACHABLE', "The traffic-manager does not know tpx's --proxy-via", {
      hint: 'Upgrade it with "tpx helm upgrade"',
    })
  }

  async #findPod(signal: AbortSignal): Promise<AgentPodInfo> {
    const { agentPods } = this.#options.manager
    const limit = AbortSignal.any([signal, AbortSignal.timeout(POD_MS)])
    return agentPods
      .until((pods) => pods.find(({ workloadName }) => workloadName === this.#workload), limit)
      .catch((cause: unknown) => {
        throw new TpxError('AGENT_NOT_READY', `There is no Pod of "${this.#workload}" with a traffic-agent`, { cause })
      })
  }
}

/** A dialer for each workload that some subnet is reached through. */
export class WorkloadDialers {
  readonly #changes = new Cell(0)
  readonly #dialers = new Map<string, WorkloadDialer>()
  readonly #options: { carrier: Carrier; logger: Logger; manager: ManagerSession }

  constructor(options: { carrier: Carrier; logger: Logger; manager: ManagerSession }) {
    this.#options = options
  }

  /** Keeps dialers for exactly these workloads. */
  follow(workloads: readonly string[]): void {
    for (const [workload, dialer] of this.#dialers) {
      if (workloads.includes(workload)) continue
      this.#dialers.delete(workload)
      dialer.close()
    }
    for (const workload of workloads) this.of(workload)
    this.#touch()
  }

  of(workload: string): WorkloadDialer {
    const known = this.#dialers.get(workload)
    if (known) return known
    const dialer = new WorkloadDialer(workload, this.#options)
    dialer.state.onChange(() => this.#touch())
    this.#dialers.set(workload, dialer)
    return dialer
  }

  /** What is waited for, in words; undefined when nothing is. */
  missing(): string | undefined {
    const [workload, dialer] = [...this.#dialers].find(([, { state }]) => !state.value.session) ?? []
    if (!dialer) return undefined
    return dialer.state.value.error?.message ?? `Waiting for the traffic-agent of "${workload}"`
  }

  error(): TpxError | null {
    return [...this.#dialers.values()].find(({ state }) => state.value.error)?.state.value.error ?? null
  }

  onChange(listener: () => void): void {
    this.#changes.onChange(listener)
  }

  close(): void {
    this.follow([])
  }

  #touch(): void {
    this.#changes.set(this.#changes.value + 1)
  }
}
