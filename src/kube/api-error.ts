import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { KubeConfig } from '@kubernetes/client-node'
import { TpxError } from '../base/error.ts'
import { serverOf } from './server-address.ts'
import { transportError } from './transport-error.ts'

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
    const expired = expiredCertificate(kubeConfig)
    return new TpxError(
      'KUBERNETES_UNAUTHORIZED',
      `The Kubernetes API at "${server}" does not accept the credentials of context "${context}"${expired ? `: the client certificate expired on ${expired}` : ''}`,
      {
        hint: expired
          ? 'Fetch the kubeconfig again, with a certificate that is valid'
          : `Sign in again; "kubectl --context ${context} get pods" must work`,
      },
    )
  }

  if (code === 403) {
    const hint = / cannot impersonate /.test(said)
      ? 'Ask for the permission to impersonate, or leave out --as and --as-group (kubectl auth can-i impersonate users)'
      : `Ask for the permission; check it with "${canI(attempt)}"`
    return new TpxError('KUBERNETES_FORBIDDEN', `The Kubernetes API at "${server}" refuses to ${describe(attempt)}: ${said}`, { hint })
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

/** When the user's own certificate expired: the API says no more than 401. */
function expiredCertificate(kubeConfig: KubeConfig): string | undefined {
  const { certData, certFile } = kubeConfig.getCurrentUser() ?? {}
  try {
    const pem = certData ? Buffer.from(certData, 'base64') : certFile ? readFileSync(certFile) : undefined
    const end = pem && new X509Certificate(pem).validTo
    return end && Date.parse(end) < Date.now() ? end : undefined
  } catch {
    return undefined
  }
}
