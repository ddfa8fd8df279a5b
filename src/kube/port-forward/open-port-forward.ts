import type { Duplex } from 'node:stream'
import type { KubeConfig } from '@kubernetes/client-node'
import { systemCode, TpxError } from '../../base/error.ts'
import { apiError, readStatus } from '../api-error.ts'
import { requestOptions } from '../api-request.ts'
import { serverOf } from '../server-address.ts'
import { openPlainWebSocket } from './plain-web-socket.ts'
import { RefusedUpgrade } from './refused-upgrade.ts'
import { openSpdyOverWebSocket } from './spdy-over-web-socket.ts'
import type { ForwardTarget } from './spdy-stream.ts'
import { openSpdy } from './spdy-upgrade.ts'

/** How a port-forward is spoken, best first. */
export type PortForwardTransport = 'spdy' | 'spdy-over-websocket' | 'websocket'

type Opener = (kubeConfig: KubeConfig, target: ForwardTarget, signal: AbortSignal) => Promise<Duplex>

/** The three ways; exported so that one suite can prove them all. */
export const TRANSPORTS: Record<PortForwardTransport, { open: Opener; verb: 'create' | 'get' }> = {
  spdy: { open: openSpdy, verb: 'create' },
  'spdy-over-websocket': { open: openSpdyOverWebSocket, verb: 'get' },
  websocket: { open: openPlainWebSocket, verb: 'get' },
}

/** A proxy may swallow an upgrade without a word. The tunnel waits 15 s: all three must have had their turn by then. */
const UPGRADE_LIMIT_MS = 4000
/** What worked before may take longer, e.g. where the API server is busy. */
const KNOWN_LIMIT_MS = 10_000

/** What worked last, by API server. */
const remembered = new Map<string, PortForwardTransport>()

/** The way that worked last with this cluster, or null. */
export function portForwardTransport(kubeConfig: KubeConfig): PortForwardTransport | null {
  return remembered.get(serverOf(kubeConfig)) ?? null
}

/**
 * Opens one stream to a port on a Pod's loopback, on a connection of its own. It may "succeed" on a port where nobody
 * listens: the node tells that later, and the stream then fails with PORT_FORWARD_FAILED. It knows no half-close: after
 * end() the node gives the answer one second.
 * @throws TpxError POD_NOT_FOUND, KUBERNETES_*, PORT_FORWARD_FAILED
 */
export async function openPortForward(
  kubeConfig: KubeConfig,
  target: ForwardTarget,
  options: { signal?: AbortSignal } = {},
): Promise<Duplex> {
  const last = portForwardTransport(kubeConfig)
  const names = Object.keys(TRANSPORTS) as PortForwardTransport[]
  let failure: TpxError | undefined
  // Before the clock of an upgrade runs: a credential plugin may have to wait for its user.
  await requestOptions(kubeConfig).catch((error: unknown) => {
    throw apiError(error, kubeConfig, { namespace: target.namespace, resource: 'pods/portforward', verb: 'create' })
  })
  for (const name of last ? [last, ...names.filter((other) => other !== last)] : names) {
    try {
      const stream = await openBy(name, kubeConfig, target, {
        limitMs: name === last ? KNOWN_LIMIT_MS : UPGRADE_LIMIT_MS,
        outer: options.signal,
      })
      remembered.set(serverOf(kubeConfig), name)
      return stream
    } catch (error) {
      options.signal?.throwIfAborted()
      const known = describeFailure(error, kubeConfig, target, TRANSPORTS[name].verb)
      // Forbidden with one verb, then with the other: the first is the one to ask for.
      if (isFinal(error, name)) throw failure?.code === 'KUBERNETES_FORBIDDEN' ? failure : known
      // The first refusal with a meaning says most: later ones are often only "no such protocol".
      failure = failure && failure.code !== 'PORT_FORWARD_FAILED' ? failure : known
    }
  }

  throw failure ?? new TpxError('BUG', 'No port-forward transport')
}

async function openBy(
  name: PortForwardTransport,
  kubeConfig: KubeConfig,
  target: ForwardTarget,
  { limitMs, outer }: { limitMs: number; outer: AbortSignal | undefined },
): Promise<Duplex> {
  const limit = new AbortController()
  const timer = setTimeout(() => limit.abort(new RefusedUpgrade(0, `No answer within ${limitMs / 1000} s`)), limitMs)
  try {
    return await TRANSPORTS[name].open(kubeConfig, target, outer ? AbortSignal.any([outer, limit.signal]) : limit.signal)
  } catch (error) {
    throw limit.signal.aborted ? limit.signal.reason : error
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Only the API server's own verdict ends the search; a status without a Kubernetes body comes from a proxy or means "unknown
 * protocol". SPDY needs the verb create, WebSocket get: who lacks one may have the other.
 */
function isFinal(error: unknown, name: PortForwardTransport): boolean {
  if (!(error instanceof RefusedUpgrade)) return !['ECONNRESET', 'EPIPE'].includes(systemCode(error) ?? '')
  if (error.status === 401) return true
  if (!readStatus(error.body)) return false
  return error.status === 404 || (error.status === 403 && TRANSPORTS[name].verb === 'get')
}

function describeFailure(error: unknown, kubeConfig: KubeConfig, target: ForwardTarget, verb: string): TpxError {
  const { namespace, pod } = target
  const attempt = { name: pod, namespace, resource: 'pods/portforward', verb }
  if (!(error instanceof RefusedUpgrade)) return apiError(error, kubeConfig, attempt)
  const status = readStatus(error.body)
  if (error.status === 401 || (error.status === 403 && status))
    return apiError({ body: error.body, code: error.status }, kubeConfig, attempt)
  if (error.status === 404 && status) {
    return new TpxError('POD_NOT_FOUND', `There is no Pod "${pod}" in namespace "${namespace}"`, {
      hint: `kubectl get pods -n ${namespace}`,
    })
  }

  const said = status?.message ?? (error.status ? `HTTP ${error.status}` : error.body)
  return new TpxError(
    'PORT_FORWARD_FAILED',
    `The Kubernetes API at "${serverOf(kubeConfig)}" opens no port-forward to Pod "${pod}" in namespace "${namespace}": ${said}`,
    {
      hint: status
        ? undefined
        : `A proxy or load balancer may strip "Upgrade"; "kubectl port-forward -n ${namespace} pod/${pod} ${target.port}" must work`,
    },
  )
}
