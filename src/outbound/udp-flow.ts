import type dgram from 'node:dgram'

/** Where the datagrams of a flow go: back to the client. */
export type DatagramSink = {
  /** The flow is over; `code` tells the system error that ended it, undefined when it was idle or closed. */
  ended: (code: string | undefined) => void
  received: (datagram: Buffer) => void
}

/** One UDP flow on a connected socket that ends by itself after `idleMs` without datagrams. */
export class UdpFlow {
  readonly #idleMs: number
  readonly #sink: DatagramSink
  readonly #socket: dgram.Socket
  #ended = false
  #timer: NodeJS.Timeout

  constructor(socket: dgram.Socket, sink: DatagramSink, idleMs: number) {
    this.#idleMs = idleMs
    this.#sink = sink
    this.#socket = socket
    this.#timer = setTimeout(() => this.#end(undefined), idleMs)
    socket.on('message', (datagram) => {
      this.#timer.refresh()
      sink.received(datagram)
    })
    // ICMP port unreachable shows as ECONNREFUSED on a connected socket.
    socket.on('error', (error: NodeJS.ErrnoException) => this.#end(error.code ?? 'ECONNREFUSED'))
  }

  /** Sends a datagram; one that cannot be sent is lost, as UDP allows. */
  send(datagram: Uint8Array): void {
    if (this.#ended) return
    this.#timer.refresh()
    this.#socket.send(datagram, (error) => {
      if (error && (error as NodeJS.ErrnoException).code === 'ECONNREFUSED') this.#end('ECONNREFUSED')
    })
  }

  close(): void {
    this.#end(undefined)
  }

  /** Milliseconds after which an idle flow ends. */
  get idleMs(): number {
    return this.#idleMs
  }

  #end(code: string | undefined): void {
    if (this.#ended) return
    this.#ended = true
    clearTimeout(this.#timer)
    this.#socket.close()
    this.#sink.ended(code)
  }
}
