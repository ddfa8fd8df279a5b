import type { Logger } from '../base/logger.ts'
import { TpxError } from '../base/error.ts'
import { type DataRequest, formatRequest } from '../wire/data-stream.ts'
import { DialError, type Mux } from '../wire/mux.ts'
import type { MuxStream } from '../wire/mux-stream.ts'
import type { Carrier } from './carrier.ts'
import { Cell } from './cell.ts'
import type { Destination, Dialer, EchoFlow, EchoHandlers, UdpFlow, UdpHandlers } from './dialer.ts'
import { EchoStream } from './echo-stream.ts'
import { type ManagerSession, managerTarget } from './manager-session.ts'
import { PipeKeeper, type PipeStatus } from './pipe-keeper.ts'
import { UdpStream } from './udp-stream.ts'

/** How long a dial waits for a strand that is being replaced, milliseconds. */
const PATIENCE_MS = 5000
/** So many refusals of the tpx preface, while gRPC answers, mean that the manager does not know it. */
const FOREIGN_AFTER = 3

/** What a data session works with. */
export type DataSessionOptions = {
  carrier: Carrier
  graceMs: () => number
  logger: Logger
  manager: ManagerSession
  managerNamespace: string
}

/** Opens the apps' connections in the cluster, over one pipe to the manager. */
export class DataSession implements Dialer {
  readonly state = new Cell<PipeStatus>({ error: null, isUp: false, mux: null })
  readonly #logger: Logger
  readonly #manager: ManagerSession
  readonly #pipe: PipeKeeper
  #strangeAnswers = 0

  constructor({ carrier, graceMs, logger, manager, managerNamespace }: DataSessionOptions) {
    this.#logger = logger
    this.#manager = manager
    const target = managerTarget(managerNamespace)
    const strand = async (signal: AbortSignal) => ({ bearer: await this.#sessionId(signal), target, verb: 'data' })
    this.#pipe = new PipeKeeper({ carrier, graceMs, strand })
    this.#pipe.state.onChange((status) => this.#publish(status))
    manager.onSessionLost = () => this.#pipe.destroy(new Error('The traffic-manager began anew'))
  }

  /** Keeps the session until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#pipe.run(signal)
    this.#pipe.destroy(new Error('The tunnel is ending'))
  }

  async tcp(destination: Destination, options: { signal: AbortSignal; source: Destination }): Promise<MuxStream> {
    const { signal, source } = options
    const deadline = performance.now() + PATIENCE_MS
    for (;;) {
      const mux = await this.#mux(signal)
      try {
        return await this.#open(mux, { destination: hostPort(destination), protocol: 'tcp', source: hostPort(source) }, signal)
      } catch (error) {
        // Only a dial that died with its pipe may be tried again: the far side has not given a verdict on it.
        if (!mux.pipe.isClosed || signal.aborted) throw error
        if (performance.now() > deadline) throw new DialError('ETIMEDOUT')
      }
    }
  }

  udp(destination: Destination, handlers: UdpHandlers): UdpFlow {
    const open = async (signal: AbortSignal): Promise<MuxStream> =>
      this.#open(await this.#mux(signal), { destination: hostPort(destination), protocol: 'udp' }, signal)
    return new UdpStream(open, handlers)
  }

  echo(address: string, handlers: EchoHandlers): EchoFlow {
    const open = async (signal: AbortSignal): Promise<MuxStream> =>
      this.#open(await this.#mux(signal), { destination: { host: address, port: 0 }, protocol: 'icmp' }, signal)
    return new EchoStream(open, handlers)
  }

  /** A dial that is under way when the strand is lost goes on over the next, but not for long: whoever connects has no patience. */
  async #open(mux: Mux, request: DataRequest, signal: AbortSignal): Promise<MuxStream> {
    const impatient = new AbortController()
    let timer: NodeJS.Timeout | undefined
    const unwatch = this.state.onChange(({ isUp }) => {
      clearTimeout(timer)
      timer = isUp ? undefined : setTimeout(() => impatient.abort(), PATIENCE_MS)
    })
    try {
      return await mux.open(formatRequest(request), AbortSignal.any([signal, impatient.signal]))
    } catch (error) {
      throw impatient.signal.aborted && !signal.aborted ? new DialError('EHOSTUNREACH') : error
    } finally {
      clearTimeout(timer)
      unwatch()
    }
  }

  async #mux(signal: AbortSignal): Promise<Mux> {
    const usable = ({ isUp, mux }: PipeStatus): Mux | undefined => (isUp && mux ? mux : undefined)
    const now = usable(this.state.value)
    if (now) return now
    return this.state.until(usable, AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)])).catch(() => {
      throw new DialError('EHOSTUNREACH')
    })
  }

  /** The session of before serves as well: a pipe goes on while the gRPC session is being found again. */
  #sessionId(signal: AbortSignal): Promise<string> {
    return this.#manager.state.until(({ hasArrived, sessionId }) => (hasArrived && sessionId) || undefined, signal)
  }

  #publish(status: PipeStatus): void {
    const { error } = status
    this.#strangeAnswers = error && this.#isStrange(error) ? this.#strangeAnswers + 1 : status.isUp ? 0 : this.#strangeAnswers
    const reason = error && this.#strangeAnswers >= FOREIGN_AFTER ? this.#foreign(error) : error
    if (reason && this.state.value.error?.message !== reason.message)
      this.#logger.warn({ code: reason.code }, `no data stream: ${reason.message}`)
    this.state.set({ ...status, error: reason })
  }

  /** A manager that answers gRPC but closes on the tpx preface is not tpx's. */
  #isStrange(error: TpxError): boolean {
    return (
      error.code === 'CARRIER_FAILED' &&
      error.message.startsWith('Stream ended before its first line') &&
      this.#manager.state.value.leg.state === 'up'
    )
  }

  #foreign(cause: TpxError): TpxError {
    const { managerName, managerVersion } = this.#manager.state.value
    return new TpxError('MANAGER_UNREACHABLE', `The traffic-manager "${managerName} ${managerVersion}" does not carry tpx's data streams`, {
      cause,
      hint: "It looks like Telepresence's own; install tpx's beside it with `tpx helm install` and name it with --manager-namespace",
    })
  }
}

function hostPort({ address, port }: Destination): { host: string; port: number } {
  return { host: address, port }
}
