import http from 'node:http'
import https from 'node:https'
import type { KubeConfig } from '@kubernetes/client-node'
import { type ApiAttempt, apiError } from './api-error.ts'
import { serverOf } from './kubeconfig.ts'

/** Most bytes of an answer that are kept: a list of some thousand Pods fits. */
const MAX_BODY = 64 << 20

/** An answer of the API server that is not 2xx; same fields as client-node's ApiException. */
export class HttpStatusError extends Error {
  readonly body: string
  readonly code: number
  constructor(code: number, body: string) {
    super(`HTTP ${code}`)
    this.name = 'HttpStatusError'
    this.code = code
    this.body = body
  }
}

/**
 * Options for https.request with the credentials of the context: TLS, headers, and an agent where a proxy is to be used.
 * Otherwise no agent: client-node keeps one whose certificates would win over those that an exec plugin gave anew.
 */
export async function requestOptions(kubeConfig: KubeConfig, headers: http.OutgoingHttpHeaders = {}): Promise<https.RequestOptions> {
  const options: https.RequestOptions = { headers }
  await kubeConfig.applyToHTTPSOptions(options)
  return kubeConfig.getCurrentCluster()?.proxyUrl ? options : { ...options, agent: false }
}

/** `http.request` or `https.request`, as the server's address says. */
export function requesterFor(kubeConfig: KubeConfig): typeof https.request {
  return serverOf(kubeConfig).startsWith('http:') ? http.request : https.request
}

/**
 * One GET of the Kubernetes API by node:https. The generated client of client-node costs 30 MB and 27 ms more, which a
 * background process need not pay for a handful of requests.
 * @param path absolute path with query
 * @throws HttpStatusError for any status but 2xx; TpxError KUBERNETES_* when there is no answer
 */
export async function apiGet<T>(
  kubeConfig: KubeConfig,
  path: string,
  options: { attempt: ApiAttempt; signal?: AbortSignal; timeoutMs?: number },
): Promise<T> {
  const timeout = AbortSignal.timeout(options.timeoutMs ?? 10_000)
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout
  try {
    return await get<T>(kubeConfig, path, signal)
  } catch (error) {
    if (error instanceof HttpStatusError) throw error
    throw apiError(timeout.aborted ? timeout.reason : error, kubeConfig, options.attempt)
  }
}

async function get<T>(kubeConfig: KubeConfig, path: string, signal: AbortSignal): Promise<T> {
  const options = await requestOptions(kubeConfig, { Accept: 'application/json' })
  const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
    requesterFor(kubeConfig)(serverOf(kubeConfig) + path, { ...options, signal })
      .once('response', resolve)
      .once('error', reject)
      .end()
  })
  const body = await readBody(response)
  const status = response.statusCode ?? 0
  if (status < 200 || status > 299) throw new HttpStatusError(status, body)
  return JSON.parse(body) as T
}

/** The whole body as text. */
export async function readBody(response: http.IncomingMessage, limit: number = MAX_BODY): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > limit) break
    chunks.push(chunk)
  }

  return Buffer.concat(chunks).toString('utf8')
}
