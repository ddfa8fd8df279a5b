import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import { Mux } from '../../../src/wire/mux.ts'
import { Pipe, type PipeOptions } from '../../../src/wire/pipe.ts'
import { openTpxStream } from '../../../src/wire/preface.ts'

/** Two sockets that are connected over loopback. */
export async function socketPair(): Promise<[net.Socket, net.Socket]> {
  const server = net.createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const near = net.connect({ allowHalfOpen: true, host: '127.0.0.1', port: (server.address() as net.AddressInfo).port })
  const [far] = (await once(server, 'connection')) as [net.Socket]
  if (near.connecting) await once(near, 'connect')
  server.close()
  return [near.on('error', () => {}), far.on('error', () => {})]
}

/** Both ends of a mux. */
export type MuxPair = {
  client: Mux
  /** Connects both with a new strand. */
  connect: () => Promise<void>
  /** Ends the present strand as a lost network does: at an arbitrary byte. */
  cut: () => void
  server: Mux
  /** The present strand's two sockets. */
  strand: () => [net.Socket, net.Socket]
  [Symbol.asyncDispose]: () => Promise<void>
}

/** A connected pair; every offer is accepted and echoed unless the test sets `server.onOffer`. */
export async function muxPair(options: Partial<PipeOptions> = {}): Promise<MuxPair> {
  const all = { graceMs: 10_000, pings: false, silentMs: 10_000, ...options }
  const client = new Mux(new Pipe({ ...all, pings: options.pings ?? false }), 'client')
  const server = new Mux(new Pipe({ ...all, pings: false }), 'server')
  server.onOffer = ({ accept }) => {
    const stream = accept()
    stream.pipe(stream)
  }
  let strand: [net.Socket, net.Socket]
  const connect = async (): Promise<void> => {
    strand = await socketPair()
    const [here, there] = [client.pipe.position, server.pipe.position]
    server.pipe.attach(strand[1], here)
    client.pipe.attach(strand[0], there)
  }
  await connect()
  return {
    client,
    connect,
    cut: () => {
      for (const socket of strand) socket.destroy()
      client.pipe.loseStrand()
      server.pipe.loseStrand()
    },
    server,
    strand: () => strand,
    [Symbol.asyncDispose]: async () => {
      client.destroy()
      server.destroy()
      for (const socket of strand) socket.destroy()
    },
  }
}

/** A pipe that this side opened, and how to go on with it. */
export type OpenedMux = { mux: Mux; resume: (stream: Duplex) => Promise<void> }

/** Opens a new pipe on a stream, as the tunnel does. @param words verb and bearer */
export async function openMux(stream: Duplex, ...words: [verb: string, bearer: string]): Promise<OpenedMux> {
  const mux = new Mux(new Pipe({ graceMs: 10_000, pings: false, silentMs: 10_000 }), 'client')
  const name = randomBytes(16).toString('hex')
  const resume = async (strand: Duplex): Promise<void> => {
    const [position] = await openTpxStream(strand, ...words, name, String(mux.pipe.position), '10000')
    mux.pipe.attach(strand, Number(position))
  }
  await resume(stream)
  return { mux, resume }
}
