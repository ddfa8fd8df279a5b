import { once } from 'node:events'
import net from 'node:net'
import type { TestContext } from 'node:test'
import { type Dial, DialError, type DialFailure, dialedSocket, type Target } from '../../../src/proxy/dial.ts'
import { type ProxyServer, startProxy } from '../../../src/proxy/proxy-server.ts'

/** A proxy whose "cluster" is this machine: `origin` leads to the given port, other names fail with the code that they are. */
export async function startFixture(
  t: TestContext,
  originPort: number,
): Promise<{ asked: Target[]; failures: DialFailure[]; proxy: ProxyServer }> {
  const asked: Target[] = []
  const failures: DialFailure[] = []
  const dial: Dial = async (target, signal) => {
    asked.push(target)
    if (/^E[A-Z]+$/.test(target.host)) throw new DialError(target.host)
    const socket = net.connect({ allowHalfOpen: true, host: '127.0.0.1', port: originPort })
    await once(socket, 'connect', { signal })
    return dialedSocket(socket)
  }
  const zone = async () => ({ clusterDomain: 'cluster.local', includeSuffixes: [], namespace: 'shop', subnets: ['10.96.0.0/12'] })
  const proxy = await startProxy({ dial, onFailure: (failure) => failures.push(failure), port: 0, zone })
  t.after(() => proxy.close())
  return { asked, failures, proxy }
}

/** Listens on a port of the kernel's choice; answers it. */
export async function listen(t: TestContext, server: net.Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => void server.close())
  return (server.address() as net.AddressInfo).port
}

/** Connects to the proxy. */
export async function client(port: number): Promise<net.Socket> {
  const socket = net.connect({ allowHalfOpen: true, host: '127.0.0.1', port })
  await once(socket, 'connect')
  return socket
}

/** Everything until the end. */
export async function readAll(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** Waits until so many bytes have come, and answers them. */
export function readBytes(socket: net.Socket, count: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let seen = Buffer.alloc(0)
    const onData = (chunk: Buffer): void => {
      seen = Buffer.concat([seen, chunk])
      if (seen.length < count) return
      socket.off('data', onData).pause()
      if (seen.length > count) socket.unshift(seen.subarray(count))
      resolve(seen.subarray(0, count))
    }
    socket.on('data', onData).once('error', reject).resume()
  })
}
