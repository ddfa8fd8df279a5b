import { closeSync } from 'node:fs'
import { once } from 'node:events'
import net from 'node:net'
import { parseAddress } from '../netstack/ip-address.ts'
import type { Destination } from './dialer.ts'
import { bind, errnoName, socket as openSocket } from './libc.ts'
import { setCloseIsReset, setReuseAddress, setTransparent } from './socket-options.ts'

/** Accepted sockets that wait for their turn; the kernel caps it at net.core.somaxconn, 4096 by default. */
const BACKLOG = 4096

const AF_INET = 2
const AF_INET6 = 10
const SOCK_STREAM_NONBLOCK_CLOEXEC = 1 | 0o4000 | 0o2000000

/** A listener whose connections may have addresses that the machine does not own. */
export interface TransparentListener {
  address: string
  port: number
  close(): void
}

/** Called for each accepted connection; its localAddress and localPort are what the app dialed. Its close is a reset until changed. */
export type OnAccepted = (socket: net.Socket) => void

/**
 * Listens on any address, whether or not the machine owns it.
 * @param destination port 0 lets the kernel choose one
 * @throws Error when the port is taken, e.g. by an app that listens on all addresses
 */
export async function listenTransparently(destination: Destination, onAccepted: OnAccepted): Promise<TransparentListener> {
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, onAccepted)
  // In { fd, backlog } Node ignores the backlog; as an argument of its own it counts. From here on Node closes the descriptor.
  server.listen({ fd: openBoundSocket(destination) }, BACKLOG)
  await once(server, 'listening')
  // Out of file descriptors: libuv resets the one connection, the listener goes on.
  server.on('error', () => {})
  const { port } = server.address() as net.AddressInfo
  return { address: destination.address, close: () => void server.close(), port }
}

function openBoundSocket({ address, port }: Destination): number {
  const bytes = parseAddress(address)
  if (!bytes) throw new Error(`Not an address: "${address}"`)
  const isIpv6 = bytes.length === 16
  const fd = openSocket(isIpv6 ? AF_INET6 : AF_INET, SOCK_STREAM_NONBLOCK_CLOEXEC, 0)
  if (fd < 0) throw new Error(`socket: ${errnoName()}`)
  try {
    setTransparent(fd, isIpv6 ? 6 : 4)
    setReuseAddress(fd)
    setCloseIsReset(fd, true)
    const name = socketAddress(bytes, port)
    if (bind(fd, name, name.length) < 0) throw new Error(`bind to ${address} port ${port}: ${errnoName()}`)
  } catch (error) {
    closeSync(fd)
    throw error
  }

  return fd
}

// struct sockaddr_in: family, port, address, 8 bytes of zero; struct sockaddr_in6: family, port, flow label, address, scope.
function socketAddress(address: Uint8Array, port: number): Uint8Array {
  const isIpv6 = address.length === 16
  const name = new Uint8Array(isIpv6 ? 28 : 16)
  name.set(new Uint8Array(Uint16Array.of(isIpv6 ? AF_INET6 : AF_INET).buffer), 0)
  new DataView(name.buffer).setUint16(2, port)
  name.set(address, isIpv6 ? 8 : 4)
  return name
}
