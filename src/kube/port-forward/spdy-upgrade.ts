import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Socket } from 'node:net'
import type { KubeConfig } from '@kubernetes/client-node'
import { readBody, requesterFor, requestOptions } from '../api-request.ts'
import { serverOf } from '../server-address.ts'
import { RefusedUpgrade } from './refused-upgrade.ts'
import { type ForwardTarget, SpdyStream } from './spdy-stream.ts'
import { portForwardPath } from './port-forward-path.ts'

const PROTOCOL = 'portforward.k8s.io'

/**
 * The direct way: `Upgrade: SPDY/3.1` on a POST. Least CPU of the three, but some proxies and load balancers refuse it.
 * @throws RefusedUpgrade
 */
export async function openSpdy(kubeConfig: KubeConfig, target: ForwardTarget, signal: AbortSignal): Promise<Duplex> {
  const options = await requestOptions(kubeConfig, { Connection: 'Upgrade', Upgrade: 'SPDY/3.1', 'X-Stream-Protocol-Version': PROTOCOL })
  const { head, response, socket } = await new Promise<{ head: Buffer; response: IncomingMessage; socket: Socket }>((resolve, reject) => {
    const request = requesterFor(kubeConfig)(serverOf(kubeConfig) + portForwardPath(target), { ...options, method: 'POST', signal })
    request.once('upgrade', (response, socket, head) => resolve({ head, response, socket }))
    request.once('response', (response) => {
      readBody(response, 1 << 16).then((body) => reject(new RefusedUpgrade(response.statusCode ?? 0, body)), reject)
    })
    request.once('error', reject).end()
  })
  const chosen = response.headers['x-stream-protocol-version']
  if (chosen !== PROTOCOL) {
    socket.destroy()
    throw new RefusedUpgrade(0, `The server chose the protocol "${String(chosen)}"`)
  }

  socket.setNoDelay(true).setKeepAlive(true, 30_000).setTimeout(0)
  if (head.length) socket.unshift(head)
  return new SpdyStream(socket, target)
}
