import http2 from 'node:http2'
import { LengthPrefixReader, withLength } from '../base/length-prefix.ts'
import { DialError, openDataStream, PROTOCOL_HEADER } from '../wire/data-stream.ts'
import type { UdpFlow, UdpHandlers } from './dialer.ts'

/** Datagrams kept until the far side is ready. */
const MOST_WAITING = 64
/** Bytes queued towards the far side before datagrams are dropped, as a network would. */
const MOST_QUEUED = 1 << 20

/** One UDP flow on a data stream: each datagram behind its length. */
export class UdpStream implements UdpFlow {
  readonly #abort = new AbortController()
  readonly #handlers: UdpHandlers
  #stream: http2.ClientHttp2Stream | undefined
  #waiting: Buffer[] = []

  /** @param options `protocol`: what the frames are, "udp" unless said */
  constructor(
    session: (signal: AbortSignal) => Promise<http2.ClientHttp2Session>,
    authority: string,
    { protocol = 'udp', ...handlers }: UdpHandlers & { protocol?: 'icmp' | 'udp' },
  ) {
    this.#handlers = handlers
    session(this.#abort.signal)
      .then((open) => openDataStream(open, authority, { headers: { [PROTOCOL_HEADER]: protocol }, signal: this.#abort.signal }))
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
    this.#stream?.close()
  }

  #begin(stream: http2.ClientHttp2Stream): void {
    if (this.#abort.signal.aborted) return stream.close()
    const { session } = stream
    const isLost = (): boolean => !session || session.destroyed
    this.#stream = stream
    const reader = new LengthPrefixReader()
    stream.on('data', (chunk: Buffer) => {
      for (const datagram of reader.push(chunk)) if (!this.#abort.signal.aborted) this.#handlers.onDatagram(datagram)
    })
    stream.once('end', () => {
      // A lost session shows as `aborted` and then a clean end.
      if (!stream.aborted) this.#end(undefined)
      stream.close()
    })
    // The far side resets a flow when ICMP said that nobody listens; everything else is the session's end.
    const { NGHTTP2_INTERNAL_ERROR } = http2.constants
    stream.once('close', () => this.#end(stream.rstCode === NGHTTP2_INTERNAL_ERROR && !isLost() ? 'ECONNREFUSED' : 'ECONNRESET'))
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
