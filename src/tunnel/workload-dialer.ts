import { randomBytes } from 'node:crypto'
import { create } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import { TpxError } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import { keepTrying } from '../base/retry.ts'
import { type DataRequest, formatRequest } from '../wire/data-stream.ts'
import { type AgentPodInfo, EnsureAgentRequestSchema } from '../wire/generated/manager_pb.ts'
import { DialError } from '../wire/mux.ts'
import type { MuxStream } from '../wire/mux-stream.ts'
import { OUTBOUND_KEY_METADATA } from '../wire/versions.ts'
import { callOptions } from './call-options.ts'
import type { Carrier } from './carrier.ts'
import { Cell } from './cell.ts'
import type { Destination, Dialer, EchoFlow, EchoHandlers, UdpFlow, UdpHandlers } from './dialer.ts'
import { EchoStream } from './echo-stream.ts'
import { sessionInfo } from './manager-client.ts'
import type { ManagerSession } from './manager-session.ts'
import { PipeKeeper } from './pipe-keeper.ts'
import { UdpStream } from './udp-stream.ts'

const BACKOFF = { firstMs: 100, mostMs: 5000 }
/** A workload without an agent is rolled out for it. */
const ENSURE_MS = 75_000
/** From the manager's word that there is an agent until its Pod is in the list. */
const POD_MS = 10_000
/** How long a dial waits for a pipe that is being opened, milliseconds. */
const PATIENCE_MS = 5000

/** What a workload's dialer works with. */
export type WorkloadDialerOptions = { carrier: Carrier; graceMs: () => number; logger: Logger; manager: ManagerSession }

/** Opens connections from a Pod of one workload, through its traffic-agent (`TPX/1 outbound`); another Pod takes over when one ends. */
export class WorkloadDialer implements Dialer {
  readonly #ending = new AbortController()
  /** The bearer for the agents; this client's own choice, so that it stays good when the manager begins anew. */
  readonly #key = randomBytes(16).toString('hex')
  readonly #options: WorkloadDialerOptions
  readonly #pipe: PipeKeeper
  readonly #workload: string
  #announcing: Promise<void> | undefined
  /** The session of the manager's that knows the key. */
  #knownIn = ''
  #pod: AgentPodInfo | undefined

  constructor(workload: string, options: WorkloadDialerOptions) {
    this.#options = options
    this.#workload = workload
    const { carrier, graceMs, logger, manager } = options
    const { signal } = this.#ending
    this.#pipe = new PipeKeeper({ carrier, graceMs, strand: (stop) => this.#strand(stop) })
    let told = ''
    this.#pipe.state.onChange(({ error }) => {
      // An agent that does not know the key may belong to a manager that forgot it.
      if (error?.code === 'ATTACHMENT_NOT_FOUND') this.#knownIn = ''
      if (error && error.message !== told) logger.warn({ code: error.code, workload }, `the workload does not dial: ${error.message}`)
      told = error?.message ?? ''
    })
    const unwatch = manager.state.onChange(({ leg, sessionId }) => {
      if (leg.state === 'up' && sessionId && this.#knownIn && sessionId !== this.#knownIn) void this.#announceAgain()
    })
    signal.addEventListener('abort', unwatch)
    void this.#pipe.run(signal)
  }

  /** How the way to the Pod is. */
  get state(): PipeKeeper['state'] {
    return this.#pipe.state
  }

  async tcp(destination: Destination, { signal, source }: { signal: AbortSignal; source: Destination }): Promise<MuxStream> {
    return this.#open({ destination: hostPort(destination), protocol: 'tcp', source: hostPort(source) }, signal)
  }

  udp(destination: Destination, handlers: UdpHandlers): UdpFlow {
    return new UdpStream((signal) => this.#open({ destination: hostPort(destination), protocol: 'udp' }, signal), handlers)
  }

  echo(address: string, handlers: EchoHandlers): EchoFlow {
    return new EchoStream((signal) => this.#open({ destination: { host: address, port: 0 }, protocol: 'icmp' }, signal), handlers)
  }

  /** Resets everything that was dialed. */
  close(): void {
    this.#ending.abort()
    this.#pipe.destroy()
  }

  async #open(request: DataRequest, signal: AbortSignal): Promise<MuxStream> {
    const limited = AbortSignal.any([signal, this.#ending.signal, AbortSignal.timeout(PATIENCE_MS)])
    const mux = await this.state
      .until(({ isUp, mux }) => (isUp && mux) || undefined, limited)
      .catch(() => {
        throw new DialError('EHOSTUNREACH')
      })
    try {
      return await mux.open(formatRequest(request), signal)
    } catch (error) {
      // Died with its pipe: nobody has given a verdict, so the app's kernel may ask again.
      throw mux.pipe.isClosed && !signal.aborted ? new DialError('ETIMEDOUT') : error
    }
  }

  /** Where the next strand leads: the same Pod for as long as there is that Pod. */
  async #strand(
    signal: AbortSignal,
  ): Promise<{ bearer: string; target: { kind: 'pod'; name: string; namespace: string; port: number }; verb: string }> {
    const { agentPods, state } = this.#options.manager
    const sessionId = await state.until(({ hasArrived, sessionId }) => (hasArrived && sessionId) || undefined, signal)
    if (!this.#knownIn) await this.#announce(sessionId, signal)
    const limit = AbortSignal.any([signal, AbortSignal.timeout(POD_MS)])
    this.#pod = await agentPods
      .until((pods) => {
        const mine = pods.filter(({ workloadName }) => workloadName === this.#workload)
        return mine.find(({ podId }) => podId === this.#pod?.podId) ?? mine[0]
      }, limit)
      .catch((cause: unknown) => {
        throw new TpxError('AGENT_NOT_READY', `There is no Pod of "${this.#workload}" with a traffic-agent`, { cause })
      })
    const { apiPort: port, namespace, podName: name } = this.#pod
    return { bearer: this.#key, target: { kind: 'pod', name, namespace, port }, verb: 'outbound' }
  }

  /**
   * Sees to it that the workload has agents and that they know the key.
   * @throws TpxError WORKLOAD_NOT_FOUND, AGENT_NOT_READY, MANAGER_UNREACHABLE when the manager is older than this tpx
   */
  async #announce(sessionId: string, signal: AbortSignal): Promise<void> {
    const metadata = new grpc.Metadata()
    metadata.set(OUTBOUND_KEY_METADATA, this.#key)
    let isTaken = false
    const onTrailer = (trailer: grpc.Metadata): void => {
      isTaken = trailer.get(OUTBOUND_KEY_METADATA)[0] === 'taken'
    }
    const options = callOptions({ limitMs: ENSURE_MS, onTrailer, signal })
    const session = sessionInfo(sessionId)
    await this.#options.manager.call((client) =>
      client.ensureAgent(create(EnsureAgentRequestSchema, { name: this.#workload, session }), metadata, options),
    )
    if (!isTaken)
      throw new TpxError('MANAGER_UNREACHABLE', "The traffic-manager does not know tpx's --proxy-via", {
        hint: 'Upgrade it with "tpx helm upgrade"',
      })
    this.#knownIn = sessionId
  }

  /** A manager that began anew has to hear of the key before its agents forget it; the pipe goes on meanwhile. */
  #announceAgain(): Promise<void> {
    const { logger, manager } = this.#options
    const { signal } = this.#ending
    this.#announcing ??= keepTrying(
      async () => {
        const { sessionId } = manager.state.value
        if (sessionId && sessionId !== this.#knownIn) await this.#announce(sessionId, signal)
        return true
      },
      { backoff: BACKOFF, onError: (error) => logger.debug({ error: String(error) }, 'the key is not announced yet'), signal },
    ).finally(() => (this.#announcing = undefined))
    return this.#announcing
  }
}

function hostPort({ address, port }: Destination): { host: string; port: number } {
  return { host: address, port }
}

/** A dialer for each workload that some subnet is reached through. */
export class WorkloadDialers {
  readonly #changes = new Cell(0)
  readonly #dialers = new Map<string, WorkloadDialer>()
  readonly #options: WorkloadDialerOptions

  constructor(options: WorkloadDialerOptions) {
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
    const [workload, dialer] = [...this.#dialers].find(([, { state }]) => !state.value.isUp) ?? []
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
