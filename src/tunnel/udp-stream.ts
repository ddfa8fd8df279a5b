import { LengthPrefixReader, withLength } from '../base/length-prefix.ts'
import { DialError } from '../wire/mux.ts'
import type { MuxStream } from '../wire/mux-stream.ts'
import type { UdpFlow, UdpHandlers } from './dialer.ts'

/** Datagrams kept until the far side is ready. */
const MOST_WAITING = 64
/** Bytes queued towards the far side before datagrams are dropped, as a network would. */
const MOST_QUEUED = 1 << 20

/** One UDP flow on a data stream: each datagram behind its length. */
export class UdpStream implements UdpFlow {
  readonly #abort = new AbortController()
  readonly #handlers: UdpHandlers
  #stream: MuxStream | undefined
  #waiting: Buffer[] = []

  constructor(open: (signal: AbortSignal) => Promise<MuxStream>, handlers: UdpHandlers) {
    this.#handlers = handlers
    open(this.#abort.signal)
      .then((stream) => this.#begin(stream))
      .catch((error: unknown) => this.#end(error instanceof DialError ? error.code : 'ECONNRESET'))
  }

  send(data: Uint8Array): void {
    if (this.#abort.signal.aborted) return
    const framed = withLength(data)
    if (!this.#stream) {
      if (this.#waiting.length < MOST_WAITING) this.#waiting.push(framed)
    } else if (this.#stream.writableLength < MOST_QUEUED) this.#stream.write(framed)
  }

  close(): void {
    if (this.#abort.signal.aborted) return
    this.#abort.abort()
    this.#stream?.destroy()
  }

  #begin(stream: MuxStream): void {
    if (this.#abort.signal.aborted) return void stream.destroy()
    this.#stream = stream
    const reader = new LengthPrefixReader()
    stream.on('data', (chunk: Buffer) => {
      for (const datagram of reader.push(chunk)) if (!this.#abort.signal.aborted) this.#handlers.onDatagram(datagram)
    })
    stream.once('end', () => {
      this.#end(undefined)
      stream.destroy()
    })
    // The far side resets a flow when ICMP said that nobody listens; everything else is the mux's end.
    const onGone = (): void => this.#end(stream.mux.pipe.isClosed ? 'ECONNRESET' : 'ECONNREFUSED')
    if (stream.destroyed) return onGone()
    stream.once('close', onGone)
    for (const framed of this.#waiting) stream.write(framed)
    this.#waiting = []
  }

  #end(errorCode: string | undefined): void {
    if (this.#abort.signal.aborted) return
    this.#abort.abort()
    this.#waiting = []
    this.#handlers.onClose(errorCode)
  }
}
