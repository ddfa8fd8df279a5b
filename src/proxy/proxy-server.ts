import { once } from 'node:events'
import net from 'node:net'
import { systemCode, TpxError } from '../base/error.ts'
import type { Dial, DialFailure } from './dial.ts'
import { createHttpProxy } from './http-proxy.ts'
import { type ClusterZone, pacFile } from './pac-file.ts'
import { serveSocks5 } from './socks5.ts'

const SOCKS5_VERSION = 5

/** What the proxy works with. */
export type ProxyOptions = {
  dial: Dial
  /** Called for every dial that failed. */
  onFailure?: (failure: DialFailure) => void
  /** 0 lets the kernel choose. */
  port: number
  /** Asked for every PAC file. */
  zone: () => Promise<ClusterZone>
}

/** A proxy that listens. */
export type ProxyServer = { close(): void; port: number }

/**
 * Listens on 127.0.0.1 for SOCKS5 and HTTP clients; the first byte decides.
 * @throws TpxError PORT_TAKEN when somebody else listens there, USAGE when the port may not be used
 */
export async function startProxy({ dial, onFailure = () => {}, port, zone }: ProxyOptions): Promise<ProxyServer> {
  const ownPort = (): number => (server.address() as net.AddressInfo).port
  const page = async (path: string): Promise<{ body: string; type: string } | undefined> =>
    path === '/proxy.pac' ? { body: pacFile(await zone(), ownPort()), type: 'application/x-ns-proxy-autoconfig' } : undefined
  const web = createHttpProxy({ dial, onFailure, page, port: ownPort })
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => {})
    socket.once('end', () => {
      // A client that leaves without a word.
      if (socket.bytesRead === 0) socket.end()
    })
    socket.once('data', (first: Buffer) => {
      socket.pause()
      socket.unshift(first)
      if (first[0] === SOCKS5_VERSION) void serveSocks5(socket, { dial, onFailure })
      else {
        web.emit('connection', socket)
        socket.resume()
      }
    })
  })
  server.listen(port, '127.0.0.1')
  try {
    await once(server, 'listening')
  } catch (cause) {
    throw listenError(cause, port)
  }
  // Out of file descriptors: the one connection is lost, the proxy goes on.
  server.on('error', () => {})
  return { close: () => void server.close(), port: ownPort() }
}

function listenError(cause: unknown, port: number): TpxError {
  const code = systemCode(cause)
  if (code === 'EADDRINUSE')
    return new TpxError('PORT_TAKEN', `Somebody else listens on port ${port} of 127.0.0.1`, {
      cause,
      hint: 'Name another port with --port, or --port 0 for any that is free',
    })
  return new TpxError('USAGE', `Cannot listen on port ${port} of 127.0.0.1: ${code}`, { cause, hint: 'Name another port with --port' })
}
