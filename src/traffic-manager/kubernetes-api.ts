import type http from 'node:http'
import type { KubeConfig } from '@kubernetes/client-node'
import { HttpStatusError, readBody, requesterFor, requestOptions } from '../kube/api-request.ts'
import { serverOf } from '../kube/server-address.ts'

/** One line of a watch (Kubernetes API concepts, "Efficient detection of changes"). */
export type WatchEvent = { object: unknown; type: 'ADDED' | 'BOOKMARK' | 'DELETED' | 'ERROR' | 'MODIFIED' }

/** What the core needs of the Kubernetes API. Paths are absolute and may have a query. Requests reject with HttpStatusError for any status but 2xx. */
export type Kubernetes = {
  create<T>(path: string, body: unknown): Promise<T>
  get<T>(path: string): Promise<T>
  /** Resolves when the server ends the watch, rejects when it fails. */
  watch(path: string, onEvent: (event: WatchEvent) => void, signal: AbortSignal): Promise<void>
}

const REQUEST_TIMEOUT_MS = 10_000

/** The Kubernetes API by node:https with the credentials of a kubeconfig. client-node's own Watch gives up after 30 silent seconds. */
export class KubernetesApi implements Kubernetes {
  readonly #kubeConfig: KubeConfig

  constructor(kubeConfig: KubeConfig) {
    this.#kubeConfig = kubeConfig
  }

  get<T>(path: string): Promise<T> {
    return this.#json<T>('GET', path)
  }

  create<T>(path: string, body: unknown): Promise<T> {
    return this.#json<T>('POST', path, body)
  }

  async watch(path: string, onEvent: (event: WatchEvent) => void, signal: AbortSignal): Promise<void> {
    const response = await this.#send('GET', path, signal)
    if (response.statusCode !== 200) throw new HttpStatusError(response.statusCode ?? 0, await readBody(response))
    let rest = ''
    response.setEncoding('utf8')
    for await (const chunk of response as AsyncIterable<string>) {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) if (line) onEvent(JSON.parse(line) as WatchEvent)
    }
  }

  async #json<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await this.#send(method, path, AbortSignal.timeout(REQUEST_TIMEOUT_MS), body)
    const text = await readBody(response)
    const status = response.statusCode ?? 0
    if (status < 200 || status > 299) throw new HttpStatusError(status, text)
    return JSON.parse(text) as T
  }

  async #send(method: string, path: string, signal: AbortSignal, body?: unknown): Promise<http.IncomingMessage> {
    const headers: http.OutgoingHttpHeaders = { Accept: 'application/json' }
    if (body !== undefined) headers['Content-Type'] = 'application/json'
    const options = await requestOptions(this.#kubeConfig, headers)
    return new Promise((resolve, reject) => {
      requesterFor(this.#kubeConfig)(serverOf(this.#kubeConfig) + path, { ...options, method, signal })
        .once('response', resolve)
        .on('error', reject)
        .end(body === undefined ? undefined : JSON.stringify(body))
    })
  }
}
