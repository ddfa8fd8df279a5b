import dgram from 'node:dgram'
import net from 'node:net'
import ipaddr from 'ipaddr.js'
import { systemCode } from '../base/error.ts'
import { addressBytes, type Endpoint } from '../wire/connection-id.ts'
import { DialError } from '../wire/mux.ts'
import { openPingSocket, type PingHandlers, type PingSocket } from './ping-socket.ts'

/** How long a destination may be silent before the dial is given up. */
export const DIAL_TIMEOUT_MS = 10_000
/** A UDP flow without datagrams in either direction ends after this long. */
export const UDP_IDLE_MS = 60_000

/** Opens connections from this program's Pod. Errors are DialErrors with the kernel's code, or ETIMEDOUT. */
export type Dialer = {
  /** ICMP echo to one address. */
  ping(address: string, handlers: PingHandlers): Promise<PingSocket>
  tcp(destination: Endpoint, signal: AbortSignal, timeoutMs?: number): Promise<net.Socket>
  udp(destination: Endpoint, signal: AbortSignal): Promise<dgram.Socket>
}

/** Ranges that mean this program's own Pod or its node, never the cluster: also the cloud's metadata service, whose answers are credentials of the node. */
const FORBIDDEN = new Set(['unspecified', 'broadcast', 'multicast', 'linkLocal', 'loopback'])
/** Metadata service of AWS over IPv6. */
const METADATA_ADDRESSES = new Set(['fd00:ec2::254'])

/** @throws DialError EADDRNOTAVAIL for what is no address, ENETUNREACH for what no client may reach through this Pod */
export function checkDestination(address: string): void {
  if (net.isIP(address) === 0) throw new DialError('EADDRNOTAVAIL')
  const parsed = ipaddr.process(address)
  if (FORBIDDEN.has(parsed.range()) || METADATA_ADDRESSES.has(parsed.toString())) throw new DialError('ENETUNREACH')
}

function dialTcp({ address, port }: Endpoint, signal: AbortSignal, timeoutMs: number = DIAL_TIMEOUT_MS): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ allowHalfOpen: true, host: address, noDelay: true, port })
    const fail = (code: string): void => {
      settle()
      socket.on('error', () => {}).destroy()
      reject(new DialError(code))
    }
    const onAbort = (): void => fail('ECONNABORTED')
    const onError = (error: Error): void => fail(systemCode(error) ?? 'ECONNREFUSED')
    const timer = setTimeout(() => fail('ETIMEDOUT'), timeoutMs)
    const settle = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
      socket.off('error', onError)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    socket.once('error', onError).once('connect', () => {
      settle()
      resolve(socket)
    })
  })
}

async function dialUdp({ address, port }: Endpoint, signal: AbortSignal): Promise<dgram.Socket> {
  const socket = dgram.createSocket(net.isIPv6(address) ? 'udp6' : 'udp4')
  await new Promise<void>((resolve, reject) => {
    socket.once('error', (error) => {
      socket.close()
      reject(new DialError(systemCode(error) ?? 'ENETUNREACH'))
    })
    socket.connect(port, address, () => resolve())
  })
  socket.removeAllListeners('error')
  if (signal.aborted) {
    socket.close()
    throw new DialError('ECONNABORTED')
  }

  return socket
}

/** A dialer that refuses what `check` throws for. */
export function dialerWith(check: (address: string) => void): Dialer {
  return {
    async ping(address, handlers) {
      check(address)
      return openPingSocket(addressBytes(address), handlers)
    },

    async tcp(destination, signal, timeoutMs) {
      check(destination.address)
      return dialTcp(destination, signal, timeoutMs)
    },

    async udp(destination, signal) {
      check(destination.address)
      return dialUdp(destination, signal)
    },
  }
}
