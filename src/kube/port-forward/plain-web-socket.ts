import type { Duplex } from 'node:stream'
import type { KubeConfig } from '@kubernetes/client-node'
import { portForwardRefused } from './port-forward-error.ts'
import { portForwardPath } from './port-forward-path.ts'
import type { ForwardTarget } from './spdy-stream.ts'
import { openWebSocket, type Receive } from './web-socket-stream.ts'

const DATA = 0
const ERROR = 1

/**
 * The oldest WebSocket way (v4.channel.k8s.io): each message begins with its channel, 0 data and 1 error. Works with every
 * API server; upload costs the node three times the CPU of SPDY.
 * @throws RefusedUpgrade
 */
export async function openPlainWebSocket(kubeConfig: KubeConfig, target: ForwardTarget, signal: AbortSignal): Promise<Duplex> {
  const path = `${portForwardPath(target)}?ports=${target.port}`
  return openWebSocket(
    kubeConfig,
    { path, prefix: Buffer.from([DATA]), protocol: 'v4.channel.k8s.io', receive: channelReader(target) },
    signal,
  )
}

/** Takes the channel byte off, and from each channel's beginning the port's two bytes. Exported for its test. */
export function channelReader(target: ForwardTarget): Receive {
  const left = [2, 2]
  return (message) => {
    const channel = message[0] ?? DATA
    const skipped = Math.min(left[channel] ?? 0, message.length - 1)
    left[channel] = (left[channel] ?? 0) - skipped
    const bytes = message.subarray(1 + skipped)
    if (channel === ERROR && bytes.length) throw portForwardRefused(target, bytes.toString('utf8'))
    return channel === DATA ? bytes : undefined
  }
}
