import type http2 from 'node:http2'
import { formatAuthority } from '../wire/data-stream.ts'
import { encodeEchoMessage, parseEchoMessage } from '../wire/echo-message.ts'
import type { EchoFlow, EchoHandlers } from './dialer.ts'
import { UdpStream } from './udp-stream.ts'

/** The pings of one app to one address on a data stream: each message in a frame, as datagrams are. */
export class EchoStream implements EchoFlow {
  readonly #frames: UdpStream

  constructor(session: (signal: AbortSignal) => Promise<http2.ClientHttp2Session>, address: string, handlers: EchoHandlers) {
    this.#frames = new UdpStream(session, formatAuthority(address, 0), {
      onClose: handlers.onClose,
      onDatagram: (frame) => {
        const message = parseEchoMessage(Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength))
        if (message?.kind === 'echo') handlers.onReply(message.sequence, message.data)
        else if (message) handlers.onError(message.sequence, message.code)
      },
      protocol: 'icmp',
    })
  }

  send(sequence: number, data: Uint8Array): void {
    this.#frames.send(encodeEchoMessage({ data, kind: 'echo', sequence }))
  }

  close(): void {
    this.#frames.close()
  }
}
