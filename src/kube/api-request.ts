import http from 'node:http'
import https from 'node:https'
import type { KubeConfig } from '@kubernetes/client-node'
import { type ApiAttempt, apiError } from './api-error.ts'
import { serverOf } from './server-address.ts'

/** How long a connection may take to come about (TCP, TLS, and the proxy where there is one): beginners should not wait longer for "no". */
const CONNECT_LIMIT_MS = 4000
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

type RequestLimits = { attempt: ApiAttempt; signal?: AbortSignal; timeoutMs?: number }

/**
 * One GET of the Kubernetes API by node:https. The generated client of client-node costs 30 MB and 27 ms more, which a
 * background process need not pay for a handful of requests.
 * @param path absolute path with query
 * @throws HttpStatusError for any status but 2xx; TpxError KUBERNETES_* or CREDENTIAL_PLUGIN_FAILED when there is no answer
 */
export function apiGet<T>(kubeConfig: KubeConfig, path: string, limits: RequestLimits): Promise<T> {
  return exchange<T>(kubeConfig, { method: 'GET', path }, limits)
}

/** One POST; otherwise as apiGet(). */
export function apiPost<T>(kubeConfig: KubeConfig, path: string, body: object, limits: RequestLimits): Promise<T> {
  return exchange<T>(kubeConfig, { body: JSON.stringify(body), method: 'POST', path }, limits)
}

type Request = { body?: string; method: string; path: string }

async function exchange<T>(kubeConfig: KubeConfig, request: Request, limits: RequestLimits): Promise<T> {
  const headers = { Accept: 'application/json', ...(request.body ? { 'Content-Type': 'application/json' } : {}) }
  try {
    // Before the clock runs: a credential plugin may have to wait for its user.
    const options = await requestOptions(kubeConfig, headers)
    const timeout = AbortSignal.timeout(limits.timeoutMs ?? 10_000)
    const signal = limits.signal ? AbortSignal.any([limits.signal, timeout]) : timeout
    return await send<T>(kubeConfig, request, { ...options, signal }).catch((error: unknown) => {
      throw timeout.aborted ? timeout.reason : error
    })
  } catch (error) {
    if (error instanceof HttpStatusError) throw error
    throw apiError(error, kubeConfig, limits.attempt)
  }
}

async function send<T>(kubeConfig: KubeConfig, { body, method, path }: Request, options: https.RequestOptions): Promise<T> {
  const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
    const request = requesterFor(kubeConfig)(serverOf(kubeConfig) + path, { ...options, method })
    limitConnecting(request)
    request.once('response', resolve).once('error', reject).end(body)
  })
  const text = await readBody(response)
  const status = response.statusCode ?? 0
  if (status < 200 || status > 299) throw new HttpStatusError(status, text)
  return JSON.parse(text) as T
}

/** Ends a request whose connection does not come about. */
export function limitConnecting(request: http.ClientRequest): void {
  const timer = setTimeout(() => {
    request.destroy(Object.assign(new Error(`No connection within ${CONNECT_LIMIT_MS / 1000} s`), { code: 'ETIMEDOUT' }))
  }, CONNECT_LIMIT_MS)
  const stop = (): void => clearTimeout(timer)
  request.once('socket', (socket) => {
    if (request.reusedSocket) stop()
    else if ('encrypted' in socket) socket.once('secureConnect', stop)
    else if (socket.connecting) socket.once('connect', stop)
    else stop()
  })
  request.once('close', stop)
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
