import { type EchoMessage, encodeEchoMessage, parseEchoMessage } from '../wire/echo-message.ts'
import type { Dialer } from './dialer.ts'
import type { PingSocket } from './ping-socket.ts'

/** A flow of pings without a packet in either direction ends after this long. */
export const ECHO_IDLE_MS = 30_000

/** The pings of one client to one address: messages of wire/echo-message.ts in, replies and errors out. */
export class EchoFlow {
  readonly #onEnded: () => void
  readonly #socket: PingSocket
  #ended = false
  #timer: NodeJS.Timeout

  private constructor(socket: PingSocket, onEnded: () => void) {
    this.#onEnded = onEnded
    this.#socket = socket
    this.#timer = setTimeout(() => this.close(), ECHO_IDLE_MS)
  }

  /** @throws DialError why pings cannot be sent to that address */
  static async open(
    dialer: Pick<Dialer, 'ping'>,
    address: string,
    { onEnded, onMessage }: { onEnded: () => void; onMessage: (message: Buffer) => void },
  ): Promise<EchoFlow> {
    let flow: EchoFlow | undefined
    const tell = (message: EchoMessage): void => {
      flow?.touch()
      onMessage(encodeEchoMessage(message))
    }
    const socket = await dialer.ping(address, {
      onError: (sequence, code) => tell({ code, kind: 'error', sequence }),
      onReply: (sequence, data) => tell({ data, kind: 'echo', sequence }),
    })
    flow = new EchoFlow(socket, onEnded)
    return flow
  }

  /** Takes a message of the client. */
  onMessage(bytes: Buffer): void {
    const message = parseEchoMessage(bytes)
    if (this.#ended || message?.kind !== 'echo') return
    this.touch()
    this.#socket.send(message.sequence, message.data)
  }

  touch(): void {
    this.#timer.refresh()
  }

  close(): void {
    if (this.#ended) return
    this.#ended = true
    clearTimeout(this.#timer)
    this.#socket.close()
    this.#onEnded()
  }
}
