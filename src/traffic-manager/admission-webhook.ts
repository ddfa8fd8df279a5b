import type http from 'node:http'
import https from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Pod } from './kubernetes-objects.ts'
import { messageOf } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import type { Certificates } from './certificates.ts'
import type { JsonPatchOperation } from './json-patch.ts'

/** Decides what a Pod that is being created gets. May throw: the Pod is then created as it is. */
export type OnPod = (pod: Pod, namespace: string) => Promise<JsonPatchOperation[]>

type AdmissionRequest = { namespace?: string; object?: Pod | null; uid?: string }
type AdmissionResponse = { allowed: true; patch?: string; patchType?: 'JSONPatch'; uid: string; warnings?: string[] }

/** An object is at most 1.5 MiB in etcd; a review holds it once, as JSON. */
const MAX_BODY = 4 << 20
/** Below the 3 s of the webhook's registration, so that the API server hears why. */
const BUDGET_MS = 2500
/** The API server cuts longer warnings (admission/v1 AdmissionResponse). */
const MAX_WARNING = 250

/**
 * Serves the admission webhook: `POST /traffic-agent` takes an AdmissionReview (admission.k8s.io/v1), `GET /healthz` answers 200.
 * It never denies a Pod: a failure becomes a warning of the answer and a line of the log.
 * @param options `port` 0 takes any free one; `budgetMs` is for tests
 * @returns the server, listening on all addresses
 */
export function serveWebhook(options: {
  budgetMs?: number
  certificates: Pick<Certificates, 'cert' | 'key'>
  logger: Logger
  onPod: OnPod
  port: number
}): Promise<https.Server> {
  const { cert, key } = options.certificates
  const server = https.createServer({ cert, key, minVersion: 'TLSv1.2', requestTimeout: 10_000 }, (request, response) => {
    void answer(request, { budgetMs: BUDGET_MS, ...options }).then(({ body, status }) => {
      response.writeHead(status, { 'content-type': typeof body === 'string' ? 'text/plain' : 'application/json' })
      response.end(typeof body === 'string' ? body : JSON.stringify(body))
    })
  })
  // Port scans and probes that speak no TLS are no news.
  server.on('tlsClientError', () => {})
  return new Promise((resolve, reject) => {
    server.once('error', reject).listen(options.port, () => resolve(server.off('error', reject)))
  })
}

type Decision = { budgetMs: number; logger: Logger; onPod: OnPod }
type Answer = { body: unknown; status: number }

async function answer(request: http.IncomingMessage, options: Decision): Promise<Answer> {
  const path = request.url?.split('?')[0]
  if (path === '/healthz' && request.method === 'GET') return { body: 'ok\n', status: 200 }
  if (path !== '/traffic-agent') return { body: 'not found\n', status: 404 }
  if (request.method !== 'POST') return { body: 'method not allowed\n', status: 405 }
  try {
    const review = JSON.parse(await readAll(request)) as { apiVersion?: string; kind?: string; request?: AdmissionRequest } | null
    if (review?.kind !== 'AdmissionReview' || !review.request?.uid) return { body: 'not an AdmissionReview\n', status: 400 }
    const response = await decide(review.request, options)
    return { body: { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response }, status: 200 }
  } catch (error) {
    return error instanceof TooLarge ? { body: 'too large\n', status: 413 } : { body: 'not JSON\n', status: 400 }
  }
}

async function decide(request: AdmissionRequest, { budgetMs, logger, onPod }: Decision): Promise<AdmissionResponse> {
  const { namespace = '', object: pod, uid = '' } = request
  const began = performance.now()
  const about = { namespace, owner: pod?.metadata?.ownerReferences?.[0]?.name ?? pod?.metadata?.name }
  try {
    const patch = pod ? await withinBudget(onPod(pod, namespace), budgetMs) : []
    logger.debug({ ...about, ms: Math.round(performance.now() - began), operations: patch.length }, 'Pod reviewed')
    return patch.length ? { allowed: true, patch: toBase64(patch), patchType: 'JSONPatch', uid } : { allowed: true, uid }
  } catch (error) {
    logger.warn({ ...about, error: messageOf(error) }, 'Pod gets no traffic-agent')
    return { allowed: true, uid, warnings: [`tpx: no traffic-agent was added: ${messageOf(error)}`.slice(0, MAX_WARNING)] }
  }
}

async function withinBudget(patch: Promise<JsonPatchOperation[]>, budgetMs: number): Promise<JsonPatchOperation[]> {
  const timer = new AbortController()
  const late = sleep(budgetMs, undefined, { ref: false, signal: timer.signal }).then(() => {
    throw new Error(`the traffic-manager needed more than ${budgetMs} ms`)
  })
  return Promise.race([patch, late]).finally(() => {
    late.catch(() => {})
    timer.abort()
  })
}

class TooLarge extends Error {}

async function readAll(request: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    // What is over the limit is read and dropped, or the client would see a reset instead of the answer.
    if (length <= MAX_BODY) chunks.push(chunk)
  }

  if (length > MAX_BODY) throw new TooLarge()
  return Buffer.concat(chunks).toString('utf8')
}

function toBase64(patch: JsonPatchOperation[]): string {
  return Buffer.from(JSON.stringify(patch), 'utf8').toString('base64')
}
