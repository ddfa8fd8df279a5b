import { encodeEchoMessage, parseEchoMessage } from '../wire/echo-message.ts'
import type { MuxStream } from '../wire/mux-stream.ts'
import type { EchoFlow, EchoHandlers } from './dialer.ts'
import { UdpStream } from './udp-stream.ts'

/** The pings of one app to one address on a data stream: each message in a frame, as datagrams are. */
export class EchoStream implements EchoFlow {
  readonly #frames: UdpStream

  constructor(open: (signal: AbortSignal) => Promise<MuxStream>, handlers: EchoHandlers) {
    this.#frames = new UdpStream(open, {
      onClose: handlers.onClose,
      onDatagram: (frame) => {
        const message = parseEchoMessage(Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength))
        if (message?.kind === 'echo') handlers.onReply(message.sequence, message.data)
        else if (message) handlers.onError(message.sequence, message.code)
      },
    })
  }

  send(sequence: number, data: Uint8Array): void {
    this.#frames.send(encodeEchoMessage({ data, kind: 'echo', sequence }))
  }

  close(): void {
    this.#frames.close()
  }
}
