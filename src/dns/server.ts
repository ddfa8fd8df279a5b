import dgram from 'node:dgram'
import { once } from 'node:events'
import net from 'node:net'
import { LengthPrefixReader, withLength } from '../base/length-prefix.ts'
import { fitUdp } from './reply.ts'
import type { Resolver } from './resolver.ts'

const MOST_CONNECTIONS = 100
const IDLE_MS = 30_000

/** A DNS server that listens. */
export type DnsServer = { close(): void; port: number }

function serveConnection(socket: net.Socket, resolver: Resolver): void {
  const reader = new LengthPrefixReader()
  let pending = 0
  let ended = false
  const finish = (): void => {
    if (ended && pending === 0) socket.end()
  }

  const answer = async (message: Buffer): Promise<void> => {
    pending++
    const result = await resolver.answer(message)
    pending--
    if (result && !socket.destroyed) socket.write(withLength(result.message))
    finish()
  }

  socket.setNoDelay(true).setTimeout(IDLE_MS, () => socket.destroy())
  socket.on('error', () => socket.destroy())
  socket.on('end', () => {
    ended = true
    finish()
  })
  // Answers may overtake each other (RFC 7766 §6.2.1.1).
  socket.on('data', (chunk: Buffer) => {
    for (const message of reader.push(chunk)) void answer(message)
  })
}

/**
 * Listens on UDP and TCP at one address and port.
 * @throws the system's error (EADDRNOTAVAIL, EADDRINUSE, EACCES) when it cannot
 */
export async function startDnsServer(resolver: Resolver, { host, port }: { host: string; port: number }): Promise<DnsServer> {
  const tcp = net.createServer({ allowHalfOpen: true }, (socket) => serveConnection(socket, resolver))
  tcp.maxConnections = MOST_CONNECTIONS
  tcp.listen({ host, port })
  await once(tcp, 'listening')
  const bound = (tcp.address() as net.AddressInfo).port

  const udp = dgram.createSocket({ type: net.isIPv6(host) ? 'udp6' : 'udp4', recvBufferSize: 1 << 20 })
  udp.on('message', (message, peer) => {
    void resolver.answer(message).then((answer) => {
      if (answer) udp.send(fitUdp(answer.message, answer.query), peer.port, peer.address, () => {})
    })
  })
  udp.bind(bound, host)
  try {
    await once(udp, 'listening')
  } catch (error) {
    tcp.close()
    throw error
  }
  udp.on('error', () => {})
  return {
    port: bound,
    close: () => {
      udp.close()
      tcp.close()
    },
  }
}
