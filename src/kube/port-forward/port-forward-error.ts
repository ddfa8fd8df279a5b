import { TpxError } from '../../base/error.ts'

type Target = { namespace: string; pod: string; port: number }

/** The node said why it cannot forward, e.g. "connection refused" or "container not running". */
export function portForwardRefused({ namespace, pod, port }: Target, report: string): TpxError {
  return new TpxError(
    'PORT_FORWARD_FAILED',
    `Port ${port} of Pod "${pod}" in namespace "${namespace}" cannot be reached: ${shorten(report)}`,
  )
}

/** The connection to the API server ended before the stream did. */
export function portForwardLost({ namespace, pod, port }: Target, reason: string): TpxError {
  return new TpxError('PORT_FORWARD_FAILED', `Stream to port ${port} of Pod "${pod}" in namespace "${namespace}" was lost: ${reason}`)
}

const KNOWN = /connection refused|connection reset by peer|broken pipe|i\/o timeout|no route to host|network is unreachable/

/** The runtime reports every address it tried and ids of its own: what happened is enough where it is known. */
function shorten(report: string): string {
  return KNOWN.exec(report)?.[0] ?? report.trim().slice(0, 300)
}
