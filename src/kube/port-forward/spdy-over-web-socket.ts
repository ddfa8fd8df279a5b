import type { Duplex } from 'node:stream'
import type { KubeConfig } from '@kubernetes/client-node'
import { portForwardPath } from './port-forward-path.ts'
import { type ForwardTarget, SpdyStream } from './spdy-stream.ts'
import { openWebSocket } from './web-socket-stream.ts'

/**
 * kubectl's way since 1.31: the same SPDY, tunnelled in WebSocket messages, which proxies let through. Servers know it from 1.30.
 * @throws RefusedUpgrade
 */
export async function openSpdyOverWebSocket(kubeConfig: KubeConfig, target: ForwardTarget, signal: AbortSignal): Promise<Duplex> {
  const protocol = 'SPDY/3.1+portforward.k8s.io'
  const request = { path: portForwardPath(target), prefix: Buffer.alloc(0), protocol, receive: (message: Buffer) => message }
  return new SpdyStream(await openWebSocket(kubeConfig, request, signal), target)
}
