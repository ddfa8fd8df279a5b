import http from 'node:http'
import https from 'node:https'
import type { KubeConfig } from '@kubernetes/client-node'
import { systemCode, TpxError } from '../base/error.ts'
import { type ApiAttempt, apiError } from './api-error.ts'
import { HttpStatusError, limitConnecting, readBody, requesterFor, requestOptions } from './api-request.ts'
import { serverOf } from './server-address.ts'
import type { List } from './objects.ts'

type Request = { accept?: string; attempt: ApiAttempt; body?: unknown; contentType?: string; method: string; path: string }

const TIMEOUT_MS = 30_000
/** Objects of one page of a list. */
const PAGE = 500

/**
 * The Kubernetes API for a command that sends many requests: connections are kept. Every method rejects with TpxError
 * KUBERNETES_* when there is no answer or no permission, and with INTERRUPTED when the signal aborts.
 */
export class ApiClient {
  readonly kubeConfig: KubeConfig
  readonly signal: AbortSignal | undefined
  readonly #agent: http.Agent

  constructor(kubeConfig: KubeConfig, signal?: AbortSignal) {
    this.kubeConfig = kubeConfig
    this.signal = signal
    this.#agent = serverOf(kubeConfig).startsWith('http:')
      ? new http.Agent({ keepAlive: true })
      : new https.Agent({ keepAlive: true, maxSockets: 8 })
  }

  /** Closes the connections that are kept; the client is of no use afterwards. */
  close(): void {
    this.#agent.destroy()
  }

  /** One object, or undefined when it is not there. */
  get<T>(path: string, attempt: ApiAttempt): Promise<T | undefined> {
    return this.#unless404(this.#json<T>({ attempt, method: 'GET', path }))
  }

  /** All objects of a list, page by page; none when the API has no such resource. */
  async list<T>(path: string, attempt: ApiAttempt): Promise<T[]> {
    const items: T[] = []
    let next: string | undefined
    do {
      const query = `${path.includes('?') ? '&' : '?'}limit=${PAGE}${next ? `&continue=${encodeURIComponent(next)}` : ''}`
      const page = await this.#unless404(this.#json<List<T>>({ attempt, method: 'GET', path: path + query }))
      items.push(...(page?.items ?? []))
      next = page?.metadata?.continue || undefined
    } while (next)
    return items
  }

  /** The body as it is, e.g. a log. */
  async text(path: string, attempt: ApiAttempt): Promise<string> {
    return (await this.#send({ attempt, method: 'GET', path })).body
  }

  /** JSON in a form of the caller's choice, e.g. a discovery document. */
  getAs<T>(path: string, accept: string, attempt: ApiAttempt): Promise<T> {
    return this.#json<T>({ accept, attempt, method: 'GET', path })
  }

  /**
   * Any writing request.
   * @throws HttpStatusError for any status but 2xx: what it means depends on the request
   */
  async write(request: Request): Promise<{ body: string; status: number }> {
    return this.#exchange(request)
  }

  /** Deletes under the precondition of nothing; false when it was not there. */
  async delete(path: string, attempt: ApiAttempt, options: { propagationPolicy: 'Background' | 'Foreground' }): Promise<boolean> {
    const deleted = this.#send({
      attempt,
      body: { ...options, apiVersion: 'v1', kind: 'DeleteOptions' },
      contentType: 'application/json',
      method: 'DELETE',
      path,
    })
    return (await this.#unless404(deleted)) !== undefined
  }

  async #unless404<T>(answer: Promise<T>): Promise<T | undefined> {
    try {
      return await answer
    } catch (error) {
      if (error instanceof TpxError && error.cause instanceof HttpStatusError && error.cause.code === 404) return undefined
      throw error
    }
  }

  async #json<T>(request: Request): Promise<T> {
    return JSON.parse((await this.#send(request)).body) as T
  }

  async #send(request: Request): Promise<{ body: string; status: number }> {
    try {
      return await this.#patiently(request)
    } catch (error) {
      if (!(error instanceof HttpStatusError)) throw error
      const failure = apiError(error, this.kubeConfig, request.attempt)
      throw new TpxError(failure.code, failure.message, { cause: error, hint: failure.hint })
    }
  }

  /** A kept connection may be closed by the server just when a request is sent: what changes nothing, or deletes, is sent again. */
  async #patiently(request: Request): Promise<{ body: string; status: number }> {
    try {
      return await this.#exchange(request)
    } catch (error) {
      const isCut = error instanceof TpxError && ['ECONNRESET', 'EPIPE'].includes(systemCode(error.cause) ?? '')
      if (!isCut) throw error
      return this.#exchange(request)
    }
  }

  async #exchange(request: Request): Promise<{ body: string; status: number }> {
    let timeout: AbortSignal | undefined
    try {
      // Before the clock runs: a credential plugin may have to wait for its user.
      const options = await this.#options(request)
      timeout = AbortSignal.timeout(TIMEOUT_MS)
      const signal = this.signal ? AbortSignal.any([this.signal, timeout]) : timeout
      const response = await this.#respond(request, { ...options, signal })
      const body = await readBody(response)
      const status = response.statusCode ?? 0
      if (status < 200 || status > 299) throw new HttpStatusError(status, body)
      return { body, status }
    } catch (error) {
      if (error instanceof HttpStatusError) throw error
      if (this.signal?.aborted) throw interrupted()
      throw apiError(timeout?.aborted ? timeout.reason : error, this.kubeConfig, request.attempt)
    }
  }

  #options({ accept = 'application/json', body, contentType }: Request): Promise<https.RequestOptions> {
    const headers: http.OutgoingHttpHeaders = { Accept: accept, ...(contentType ? { 'Content-Type': contentType } : {}) }
    // Node does not say by itself that a DELETE has a body: the server would take it for the next request.
    if (body !== undefined) headers['Content-Length'] = Buffer.byteLength(JSON.stringify(body))
    return requestOptions(this.kubeConfig, headers)
  }

  #respond({ body, method, path }: Request, options: https.RequestOptions): Promise<http.IncomingMessage> {
    const agent = options.agent || this.#agent
    return new Promise((resolve, reject) => {
      const request = requesterFor(this.kubeConfig)(serverOf(this.kubeConfig) + path, { ...options, agent, method })
      limitConnecting(request)
      request
        .once('response', resolve)
        .on('error', reject)
        .end(body === undefined ? undefined : JSON.stringify(body))
    })
  }
}

/** The failure of a command that the user ended. */
export function interrupted(): TpxError {
  return new TpxError('INTERRUPTED', 'The command was interrupted')
}
