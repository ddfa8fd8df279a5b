import { once } from 'node:events'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import { TpxError } from '../../../src/base/error.ts'
import type { Mux } from '../../../src/wire/mux.ts'
import { PipeHost, readStrandWords } from '../../../src/wire/pipe-host.ts'
import { ACCEPTED, formatRefusal, readPreface } from '../../../src/wire/preface.ts'

/** A traffic-agent in this process, on a loopback port: takes inbound and files streams that bring its key. */
export class FakeAgent {
  inbound: Mux | undefined
  key: string
  name = 'agent'
  readonly #pipes = new PipeHost()
  readonly #server: net.Server
  readonly #sockets = new Set<net.Socket>()

  constructor(key: string) {
    this.key = key
    this.#server = net.createServer((socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket))
      void this.#serve(socket).catch((error: unknown) => {
        if (error instanceof TpxError) socket.end(formatRefusal(error.code, error.message))
        else socket.destroy()
      })
    })
    this.#server.listen(0, '127.0.0.1').unref()
  }

  /** What a carrier stream to the agent's port is. */
  async connect(): Promise<Duplex> {
    if (!this.#server.listening) await once(this.#server, 'listening')
    const socket = net.connect((this.#server.address() as net.AddressInfo).port, '127.0.0.1')
    await once(socket, 'connect')
    return socket.on('error', () => {})
  }

  /** The inbound pipe, as soon as it can be used. */
  async session(): Promise<Mux> {
    while (!this.inbound?.pipe.isUp) await new Promise((resolve) => setTimeout(resolve, 5))
    return this.inbound
  }

  /** Loses all connections, as a network does. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Begins anew, as another process does. */
  restart(): void {
    this.#pipes.close()
    this.inbound = undefined
    this.cut()
  }

  async #serve(socket: net.Socket): Promise<void> {
    const preface = await readPreface(socket)
    // An outbound key is the client's own choice: the first one that comes is the right one.
    if (preface.kind === 'tpx' && preface.verb === 'outbound') this.key ||= preface.args[0] ?? ''
    if (preface.kind !== 'tpx' || preface.args[0] !== this.key) return void socket.end(formatRefusal('AGENT_UNREACHABLE', 'Unknown key'))
    if (preface.verb === 'inbound') return this.#pipes.accept(socket, readStrandWords(preface.args.slice(1)), (mux) => (this.inbound = mux))
    if (preface.verb === 'outbound')
      return this.#pipes.accept(socket, readStrandWords(preface.args.slice(1)), (mux) => {
        mux.onOffer = ({ accept, request }) => void accept().end(`${this.name} dials ${request}`)
      })
    socket.write(ACCEPTED)
    socket.on('data', (chunk: Buffer) => socket.write(`sftp ${chunk.toString()}`)).resume()
  }
}
