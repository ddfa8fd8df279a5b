import { once } from 'node:events'
import type http2 from 'node:http2'
import type { Logger } from '../base/logger.ts'
import { asTpxError, TpxError } from '../base/error.ts'
import { keepTrying } from '../base/retry.ts'
import { dataClient, DialError, formatAuthority, openDataStream, SOURCE_HEADER } from '../wire/data-stream.ts'
import type { Carrier } from './carrier.ts'
import { Cell } from './cell.ts'
import type { Destination, Dialer, EchoFlow, EchoHandlers, UdpFlow, UdpHandlers } from './dialer.ts'
import { EchoStream } from './echo-stream.ts'
import { destroyWhenSilent, loseSession } from './http2-liveness.ts'
import { type ManagerSession, managerTarget } from './manager-session.ts'
import { openTpx } from './tpx-stream.ts'
import { UdpStream } from './udp-stream.ts'

const BACKOFF = { firstMs: 50, mostMs: 2000 }
/** How long a dial waits for a session that is being opened again, milliseconds. */
const PATIENCE_MS = 5000
/** Longer than the manager's heartbeat allows: a slow uplink may hold several seconds of bulk data. */
const SILENT_MS = 8000
/** So many refusals of the tpx preface, while gRPC answers, mean that the manager does not know it. */
const FOREIGN_AFTER = 3

/** How the data stream is. */
export type DataState = { error: TpxError | null; session: http2.ClientHttp2Session | null }

/** Opens the apps' connections in the cluster, over one HTTP/2 session that is replaced when it is lost. */
export class DataSession implements Dialer {
  readonly state = new Cell<DataState>({ error: null, session: null })
  readonly #carrier: Carrier
  readonly #logger: Logger
  readonly #manager: ManagerSession
  readonly #managerNamespace: string
  #strangeAnswers = 0

  constructor(options: { carrier: Carrier; logger: Logger; manager: ManagerSession; managerNamespace: string }) {
    this.#carrier = options.carrier
    this.#logger = options.logger
    this.#manager = options.manager
    this.#managerNamespace = options.managerNamespace
  }

  /** Keeps the session until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await keepTrying(() => this.#live(signal), {
      backoff: BACKOFF,
      signal,
      onError: (error) => {
        const reason = this.#explain(asTpxError(error))
        if (this.state.value.error?.message !== reason.message)
          this.#logger.warn({ code: reason.code }, `no data stream: ${reason.message}`)
        this.state.set({ error: reason, session: null })
      },
    })
  }

  async tcp(destination: Destination, options: { signal: AbortSignal; source: Destination }): Promise<http2.ClientHttp2Stream> {
    const authority = formatAuthority(destination.address, destination.port)
    const headers = { [SOURCE_HEADER]: formatAuthority(options.source.address, options.source.port) }
    const deadline = performance.now() + PATIENCE_MS
    for (;;) {
      const session = await this.#session(options.signal, deadline - performance.now())
      try {
        return await openDataStream(session, authority, { headers, signal: options.signal })
      } catch (error) {
        // Only a dial that died with its session may be tried again: the far side has not given a verdict on it.
        const isLost = session.destroyed || session.closed
        if (!isLost || options.signal.aborted) throw error
        if (performance.now() > deadline) throw new DialError('ETIMEDOUT')
      }
    }
  }

  udp(destination: Destination, handlers: UdpHandlers): UdpFlow {
    return new UdpStream((signal) => this.#session(signal, PATIENCE_MS), formatAuthority(destination.address, destination.port), handlers)
  }

  echo(address: string, handlers: EchoHandlers): EchoFlow {
    return new EchoStream((signal) => this.#session(signal, PATIENCE_MS), address, handlers)
  }

  async #session(signal: AbortSignal, limitMs: number): Promise<http2.ClientHttp2Session> {
    const usable = ({ session }: DataState): http2.ClientHttp2Session | undefined =>
      session && !session.closed && !session.destroyed ? session : undefined
    const now = usable(this.state.value)
    if (now) return now
    const limited = AbortSignal.any([signal, AbortSignal.timeout(Math.max(0, Math.ceil(limitMs)))])
    return this.state.until(usable, limited).catch(() => {
      throw new DialError('EHOSTUNREACH')
    })
  }

  async #live(signal: AbortSignal): Promise<boolean> {
    const sessionId = await this.#manager.state.until(({ leg, sessionId }) => (leg.state === 'up' && sessionId) || undefined, signal)
    const stream = await openTpx(this.#carrier, managerTarget(this.#managerNamespace), ['data', sessionId], signal)
    const session = dataClient(stream)
    const stop = (): void => loseSession(session)
    // A new session of the manager's knows nothing of this one's connections.
    const unwatch = this.#manager.state.onChange((state) => {
      if (state.sessionId !== sessionId) stop()
    })
    signal.addEventListener('abort', stop)
    try {
      destroyWhenSilent(session, stream, SILENT_MS)
      session.once('connect', () => {
        this.#strangeAnswers = 0
        this.state.set({ error: null, session })
      })
      await once(session, 'close')
      throw new TpxError('CARRIER_FAILED', 'The data stream to the traffic-manager was lost')
    } finally {
      unwatch()
      signal.removeEventListener('abort', stop)
      stream.destroy()
    }
  }

  /** A manager that answers gRPC but closes on the tpx preface is not tpx's. */
  #explain(error: TpxError): TpxError {
    const { leg, managerName, managerVersion } = this.#manager.state.value
    const isStrange =
      error.code === 'CARRIER_FAILED' && error.message.startsWith('Stream ended before its first line') && leg.state === 'up'
    this.#strangeAnswers = isStrange ? this.#strangeAnswers + 1 : 0
    if (this.#strangeAnswers < FOREIGN_AFTER) return error
    return new TpxError('MANAGER_UNREACHABLE', `The traffic-manager "${managerName} ${managerVersion}" does not carry tpx's data streams`, {
      cause: error,
      hint: "It looks like Telepresence's own; install tpx's beside it with `tpx helm install` and name it with --manager-namespace",
    })
  }
}
