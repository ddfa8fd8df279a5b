import type { KubeConfig } from '@kubernetes/client-node'
import { messageOf, systemCode, TpxError } from '../base/error.ts'
import type { ErrorCode } from '../base/error-codes.ts'
import { serverOf } from './kubeconfig.ts'

/** What was tried, in RBAC's words, e.g. verb "create", resource "pods/portforward". */
export type ApiAttempt = { name?: string; namespace?: string; resource: string; verb: string }

/** The part of a Kubernetes `Status` object that matters here (meta/v1). */
export type ApiStatus = { kind?: string; message?: string; reason?: string }

/** What ApiException of client-node and our own requests have in common. */
type StatusError = { body?: unknown; code: number }

/** Reads a response body: client-node hands it out as a JSON *string*. Undefined when it is no Kubernetes Status, e.g. a proxy's page. */
export function readStatus(body: unknown): ApiStatus | undefined {
  try {
    const status = (typeof body === 'string' ? JSON.parse(body) : body) as ApiStatus | null
    return status?.kind === 'Status' ? status : undefined
  } catch {
    return undefined
  }
}

/** HTTP status of an ApiException, or undefined for anything else. */
export function httpStatusOf(error: unknown): number | undefined {
  const code = (error as { code?: unknown } | undefined)?.code
  return typeof code === 'number' ? code : undefined
}

/**
 * Turns what a request to the Kubernetes API threw into an error that names the server, the request and the next step.
 * 404 and 409 have meanings of their own: callers look at httpStatusOf first.
 */
export function apiError(error: unknown, kubeConfig: KubeConfig, attempt: ApiAttempt): TpxError {
  if (error instanceof TpxError) return error
  const status = httpStatusOf(error)
  return status === undefined ? transportError(error, kubeConfig) : statusError(error as StatusError, kubeConfig, attempt)
}

function statusError({ body, code }: StatusError, kubeConfig: KubeConfig, attempt: ApiAttempt): TpxError {
  const server = serverOf(kubeConfig)
  const said = readStatus(body)?.message ?? `HTTP ${code}`
  const context = kubeConfig.getCurrentContext()
  if (code === 401) {
    return new TpxError(
      'KUBERNETES_UNAUTHORIZED',
      `The Kubernetes API at "${server}" does not accept the credentials of context "${context}"`,
      {
        hint: `Sign in again; "kubectl --context ${context} get pods" must work`,
      },
    )
  }

  if (code === 403) {
    return new TpxError('KUBERNETES_FORBIDDEN', `The Kubernetes API at "${server}" refuses to ${describe(attempt)}: ${said}`, {
      hint: `Ask for the permission; check it with "${canI(attempt)}"`,
    })
  }

  return new TpxError('KUBERNETES_UNREACHABLE', `The Kubernetes API at "${server}" cannot ${describe(attempt)}: ${said}`, {
    hint: code >= 500 ? 'The API server has a problem of its own; try again' : undefined,
  })
}

function describe({ name, namespace, resource, verb }: ApiAttempt): string {
  return `${verb} ${resource}${name ? ` "${name}"` : ''}${namespace ? ` in namespace "${namespace}"` : ''}`
}

function canI({ namespace, resource, verb }: ApiAttempt): string {
  return `kubectl auth can-i ${verb} ${resource}${namespace ? ` -n ${namespace}` : ''}`
}

const REASONS: Partial<Record<string, [text: string, hint: string]>> = {
  ECONNREFUSED: ['refuses connections', 'Is the cluster running? If the address is out of date, fetch the kubeconfig again'],
  ECONNRESET: ['closed the connection', 'Something between here and the cluster (VPN, proxy) cuts connections; try again'],
  EHOSTUNREACH: ['cannot be reached', 'Is the VPN up?'],
  ENETUNREACH: ['cannot be reached', 'Is the VPN up?'],
  ENOTFOUND: ['has a name that does not resolve', 'Is the VPN up? If the cluster is gone, choose another --context'],
  EAI_AGAIN: ['has a name that cannot be resolved now', 'Is the network up?'],
  ETIMEDOUT: ['does not answer', 'Is the VPN up?'],
}

/** Certificate checks of Node's TLS (X509_V_ERR names of OpenSSL, and Node's own). */
const TLS_CODE = /^(CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|ERR_TLS|ERR_SSL|ERR_OSSL|HOSTNAME_MISMATCH|INVALID_CA|EPROTO)/

function transportError(error: unknown, kubeConfig: KubeConfig): TpxError {
  const server = serverOf(kubeConfig)
  const code = innerCode(error) ?? (isTimeout(error) ? 'ETIMEDOUT' : undefined)
  const fail = (errorCode: ErrorCode, text: string, hint?: string): TpxError =>
    new TpxError(errorCode, `The Kubernetes API at "${server}" ${text}`, { cause: error, hint })
  const [text, hint] = REASONS[code ?? ''] ?? []
  if (text) return fail('KUBERNETES_UNREACHABLE', `${text} (${code})`, hint)
  if (code && TLS_CODE.test(code)) {
    return fail(
      'KUBERNETES_UNREACHABLE',
      `shows a certificate that cannot be trusted (${code})`,
      'Check certificate-authority and tls-server-name in the kubeconfig, or the clock; a proxy may replace certificates',
    )
  }

  const plugin = (kubeConfig.getCurrentUser()?.exec as { command?: string } | undefined)?.command
  if (plugin) {
    return new TpxError('KUBERNETES_UNAUTHORIZED', `The credential plugin "${plugin}" failed: ${messageOf(error).trim() || code}`, {
      cause: error,
      hint: `Sign in again; "kubectl --context ${kubeConfig.getCurrentContext()} get pods" must work`,
    })
  }

  return fail('KUBERNETES_UNREACHABLE', `cannot be asked: ${messageOf(error)}`)
}

/** The system code, also where fetch() or happy eyeballs hid it in a cause or an AggregateError. */
function innerCode(error: unknown): string | undefined {
  for (let seen: unknown = error, depth = 0; seen && depth < 4; depth++) {
    const code = systemCode(seen)
    if (code && code !== 'ABORT_ERR') return code
    seen = (seen as { cause?: unknown }).cause ?? (seen as { errors?: unknown[] }).errors?.[0]
  }

  return undefined
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.name === 'TimeoutError'
}
