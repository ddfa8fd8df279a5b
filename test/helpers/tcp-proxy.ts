import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

const DEFAULT_WINDOW = 4 << 20

/** What a proxy stands in front of, and what its path is like. */
export type TcpProxyOptions = {
  /** Milliseconds that a byte takes one way; a round trip takes twice as long. Default 0. */
  delayMs?: number
  host: string
  port: number
  /** Bytes in flight per connection and direction, as TCP counts them: until the acknowledgement is back. Default 4 MiB. */
  windowBytes?: number
}

/** Bytes that came out of the proxy: `up` to the server, `down` to the clients. */
export type ByteCounts = { down: number; up: number }

/**
 * A TCP proxy on a port of 127.0.0.1 whose path can be made long, cut or silent. The kernel goes on acknowledging for it:
 * a silent connection is seen by those who wait for an answer, not by TCP keep-alive.
 */
export class TcpProxy implements AsyncDisposable {
  readonly bytes: ByteCounts = { down: 0, up: 0 }
  readonly #options: Required<TcpProxyOptions>
  readonly #pairs = new Set<Pair>()
  #frozen = false
  #port = 0
  #server: Server | undefined

  private constructor(options: TcpProxyOptions) {
    this.#options = { delayMs: 0, windowBytes: DEFAULT_WINDOW, ...options }
  }

  static async start(options: TcpProxyOptions): Promise<TcpProxy> {
    const proxy = new TcpProxy(options)
    await proxy.open()
    return proxy
  }

  /** Where it listens; the same after each open(). */
  get port(): number {
    return this.#port
  }

  /** Connections that are open, silent ones too. */
  get connections(): number {
    return this.#pairs.size
  }

  /** Listens, again after close(). */
  async open(): Promise<void> {
    if (this.#server) return
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#accept(client))
    server.listen(this.#port, '127.0.0.1')
    await once(server, 'listening')
    this.#port = (server.address() as AddressInfo).port
    this.#server = server
  }

  /**
   * New connections are refused. The open ones are reset, or never carry a byte again: not even after open(), as when
   * the network was changed under them.
   */
  close(existing: 'reset' | 'silence'): void {
    this.#server?.close()
    this.#server = undefined
    for (const pair of this.#pairs) {
      if (existing === 'reset') pair.reset()
      else pair.freeze()
    }
    if (existing === 'silence') for (const pair of this.#pairs) pair.abandon()
  }

  /** Nothing passes any more, on new connections neither: a laptop sleeps. */
  freeze(): void {
    this.#frozen = true
    for (const pair of this.#pairs) pair.freeze()
  }

  /** Goes on after freeze(); nothing was lost. */
  thaw(): void {
    this.#frozen = false
    for (const pair of this.#pairs) pair.thaw()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const server = this.#server
    this.close('reset')
    if (server) await once(server, 'close')
  }

  #accept(client: Socket): void {
    const server = connect({ allowHalfOpen: true, host: this.#options.host, noDelay: true, port: this.#options.port })
    const pair = new Pair(client, server, { ...this.#options, bytes: this.bytes, closed: () => this.#pairs.delete(pair) })
    this.#pairs.add(pair)
    if (this.#frozen) pair.freeze()
  }
}

/** Both directions of one connection. */
class Pair {
  readonly #lanes: Lane[]
  readonly #sockets: Socket[]
  #abandoned = false

  constructor(client: Socket, server: Socket, options: Required<TcpProxyOptions> & { bytes: ByteCounts; closed: () => void }) {
    const { bytes, closed, delayMs, windowBytes } = options
    this.#sockets = [client, server]
    this.#lanes = [
      new Lane(client, server, { count: (n) => (bytes.up += n), delayMs, windowBytes }),
      new Lane(server, client, { count: (n) => (bytes.down += n), delayMs, windowBytes }),
    ]
    for (const socket of this.#sockets) {
      socket.on('error', () => this.reset())
      socket.on('close', () => {
        if (this.#sockets.every(({ destroyed }) => destroyed)) closed()
      })
    }
  }

  freeze(): void {
    for (const lane of this.#lanes) lane.freeze()
  }

  thaw(): void {
    if (!this.#abandoned) for (const lane of this.#lanes) lane.thaw()
  }

  abandon(): void {
    this.#abandoned = true
  }

  reset(): void {
    for (const lane of this.#lanes) lane.stop()
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }
}

type LaneOptions = { count: (bytes: number) => void; delayMs: number; windowBytes: number }

/** One direction: what is read comes out later, in order; no more is read than the window lets be in flight. */
class Lane {
  readonly #acknowledgements: { at: number; bytes: number }[] = []
  readonly #options: LaneOptions
  readonly #source: Socket
  readonly #target: Socket
  readonly #underway: { at: number; chunk: Buffer | null }[] = []
  #frozen = false
  #inFlight = 0
  #timer: NodeJS.Timeout | undefined

  constructor(source: Socket, target: Socket, options: LaneOptions) {
    this.#source = source
    this.#target = target
    this.#options = options
    source.on('data', (chunk: Buffer) => {
      this.#inFlight += chunk.length
      this.#send(chunk)
    })
    source.on('end', () => this.#send(null))
    target.on('drain', () => this.#turn())
  }

  freeze(): void {
    this.#frozen = true
    this.#source.pause()
    clearTimeout(this.#timer)
  }

  thaw(): void {
    this.#frozen = false
    this.#turn()
  }

  stop(): void {
    this.freeze()
    this.#underway.length = 0
  }

  #send(chunk: Buffer | null): void {
    this.#underway.push({ at: performance.now() + this.#options.delayMs, chunk })
    this.#turn()
  }

  /** Delivers and acknowledges what is due, and says when it must be looked at again. */
  #turn(): void {
    if (this.#frozen) return
    const { delayMs, windowBytes } = this.#options
    const now = performance.now()
    while (this.#underway[0] && this.#underway[0].at <= now && !this.#target.writableNeedDrain) {
      this.#deliver(this.#underway.shift()?.chunk ?? null)
    }
    while (this.#acknowledgements[0] && this.#acknowledgements[0].at <= now) this.#inFlight -= this.#acknowledgements.shift()?.bytes ?? 0
    if (this.#inFlight < windowBytes) this.#source.resume()
    else this.#source.pause()
    clearTimeout(this.#timer)
    const isBlocked = this.#target.writableNeedDrain
    const next = Math.min(isBlocked ? Infinity : (this.#underway[0]?.at ?? Infinity), this.#acknowledgements[0]?.at ?? Infinity)
    if (next !== Infinity) this.#timer = setTimeout(() => this.#turn(), Math.max(0, Math.min(next - now, delayMs)))
  }

  #deliver(chunk: Buffer | null): void {
    if (!chunk) return void this.#target.end()
    this.#options.count(chunk.length)
    this.#target.write(chunk)
    this.#acknowledgements.push({ at: performance.now() + this.#options.delayMs, bytes: chunk.length })
  }
}
