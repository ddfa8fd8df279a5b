import { once } from 'node:events'
import type http2 from 'node:http2'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import { dataClient, dataServer } from '../../../src/wire/data-stream.ts'
import { ACCEPTED, formatRefusal, readPreface } from '../../../src/wire/preface.ts'

/** A traffic-agent in this process, on a loopback port: takes inbound and files streams that bring its key. */
export class FakeAgent {
  inbound: http2.ClientHttp2Session | undefined
  key: string
  readonly #server: net.Server
  readonly #sockets = new Set<net.Socket>()

  constructor(key: string) {
    this.key = key
    this.#server = net.createServer((socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket))
      void this.#serve(socket).catch(() => socket.destroy())
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

  /** The inbound session, as soon as it can be used. */
  async session(): Promise<http2.ClientHttp2Session> {
    while (!this.inbound || this.inbound.destroyed || this.inbound.connecting) await new Promise((resolve) => setTimeout(resolve, 5))
    return this.inbound
  }

  cut(): void {
    this.inbound = undefined
    for (const socket of this.#sockets) socket.destroy()
  }

  async #serve(socket: net.Socket): Promise<void> {
    const preface = await readPreface(socket)
    if (preface.kind !== 'tpx' || preface.args[0] !== this.key) return void socket.end(formatRefusal('AGENT_UNREACHABLE', 'Unknown key'))
    socket.write(ACCEPTED)
    if (preface.verb === 'inbound') this.inbound = dataClient(socket)
    else if (preface.verb === 'outbound')
      dataServer(socket, (stream, headers) => {
        stream.respond({ ':status': 200 })
        stream.end(`dialed by the agent: ${String(headers[':authority'])}`)
      })
    else socket.on('data', (chunk: Buffer) => socket.write(`sftp ${chunk.toString()}`)).resume()
  }
}
