import { isDeepStrictEqual } from 'node:util'
import { TpxError } from '../base/error.ts'
import type { ApiClient } from './api-client.ts'
import { pause } from './apply.ts'
import type { ObjectMeta, Pod } from './objects.ts'
import { diagnosePod } from './pod-diagnosis.ts'
import { fatalPodProblem, type Problem } from './pod-problem.ts'

type Condition = { message?: string; reason?: string; status: string; type: string }
type Template = { metadata?: { labels?: Record<string, string> }; spec: unknown }
type Deployment = {
  metadata: ObjectMeta & { generation?: number; uid: string }
  spec: { replicas?: number; selector: { matchLabels?: Record<string, string> }; template: Template }
  status?: {
    availableReplicas?: number
    conditions?: Condition[]
    observedGeneration?: number
    replicas?: number
    updatedReplicas?: number
  }
}
type ReplicaSet = { metadata: ObjectMeta; spec: { template: Template }; status?: { conditions?: Condition[] } }
type PodEvent = { involvedObject?: { name?: string }; lastTimestamp?: string | null; message?: string; reason?: string }

/** What to wait for. */
export type RolloutOptions = { name: string; namespace: string; onProgress: (text: string) => void; timeoutMs: number }

const POLL_MS = 250
/** A ServiceAccount that was just made is unknown to admission for a moment, and the like. */
const REFUSED_MS = 3000
/** Events that say nothing about a delay. */
const ROUTINE = ['Created', 'Pulled', 'Scheduled', 'Started']
const HASH_LABEL = 'pod-template-hash'

/**
 * Waits until the new Pods of a Deployment are ready, and tells for what it waits. Ends early on what does not mend by
 * itself: an image that cannot be had, a container that ends, a Pod that is refused or that no node takes.
 * @throws TpxError MANAGER_IMAGE_FAILED with the kubelet's, scheduler's or API server's words; INTERRUPTED
 */
export async function waitForRollout(api: ApiClient, options: RolloutOptions): Promise<void> {
  const end = performance.now() + options.timeoutMs
  const watch = new Watch(api, options)
  for (;;) {
    const text = await watch.look()
    if (text === undefined) return
    if (performance.now() > end)
      throw new TpxError(
        'MANAGER_IMAGE_FAILED',
        `Deployment "${options.name}" is not ready after ${Math.round(options.timeoutMs / 1000)} s: ${text}`,
        { hint: 'If it only needs more time, give it more with --timeout' },
      )
    await pause(api, POLL_MS)
  }
}

class Watch {
  readonly #api: ApiClient
  readonly #options: RolloutOptions
  readonly #since = new Map<string, number>()
  #said = ''

  constructor(api: ApiClient, options: RolloutOptions) {
    this.#api = api
    this.#options = options
  }

  /** For what it still waits, or undefined when everything is there. */
  async look(): Promise<string | undefined> {
    const { name, namespace } = this.#options
    const deployments = `/apis/apps/v1/namespaces/${namespace}/deployments/${name}`
    const deployment = await this.#api.get<Deployment>(deployments, { name, namespace, resource: 'deployments', verb: 'get' })
    if (!deployment) throw new TpxError('MANAGER_IMAGE_FAILED', `Somebody deleted Deployment "${name}" meanwhile`)
    if (isComplete(deployment)) return undefined
    const text = await this.#reason(deployment)
    if (text !== this.#said) this.#options.onProgress(`Waiting for Deployment "${name}": ${text}`)
    this.#said = text
    return text
  }

  async #reason(deployment: Deployment): Promise<string> {
    const replicaSet = await this.#newReplicaSet(deployment)
    if (!replicaSet) return deployment.status?.replicas ? 'the Pod before is ending' : 'its Pod is being made'
    const hash = replicaSet.metadata.labels?.[HASH_LABEL] ?? ''
    const selector = { ...deployment.spec.selector.matchLabels, [HASH_LABEL]: hash }
    const pods = (await this.#list<Pod>('/api/v1', 'pods', selector)).filter(({ metadata }) => !metadata.deletionTimestamp)
    if (pods.length === 0) return this.#noPod(replicaSet)
    for (const pod of pods) {
      const problem = await fatalPodProblem(this.#api, pod)
      if (problem && this.#lasts(problem)) throw failure(problem)
    }

    return this.#describe(pods[0]!)
  }

  #noPod({ metadata, status }: ReplicaSet): string {
    const refused = status?.conditions?.find((condition) => condition.type === 'ReplicaFailure' && condition.status === 'True')
    if (!refused) return 'its Pod is being made'
    const text = `ReplicaSet "${metadata.name}" cannot make its Pod: ${refused.message ?? refused.reason ?? 'it is refused'}`
    const isFinal = /exceeded quota|violates PodSecurity|denied the request/.test(text)
    const hint = 'The namespace has a ResourceQuota, LimitRange or admission policy; see the values resources and podAnnotations'
    if (this.#lasts({ afterMs: isFinal ? 0 : REFUSED_MS, hint, text })) throw failure({ afterMs: 0, hint, text })
    return text
  }

  /** Tells whether a problem has been there for as long as it must be before it counts. */
  #lasts({ afterMs, text }: Problem): boolean {
    const since = this.#since.get(text) ?? performance.now()
    this.#since.set(text, since)
    return performance.now() - since >= afterMs
  }

  async #describe(pod: Pod): Promise<string> {
    const { passes, text } = diagnosePod(pod)
    if (!passes || pod.status?.phase === 'Running') return text
    const { namespace } = this.#options
    const query = `fieldSelector=${encodeURIComponent(`involvedObject.name=${pod.metadata.name}`)}`
    const attempt = { namespace, resource: 'events', verb: 'list' }
    // Events are a courtesy: without the permission to read them the Pod's status must do.
    const events = await this.#api.list<PodEvent>(`/api/v1/namespaces/${namespace}/events?${query}`, attempt).catch(() => [])
    const newest = events.toSorted((a, b) => ((a.lastTimestamp ?? '') < (b.lastTimestamp ?? '') ? 1 : -1))[0]
    return newest && !ROUTINE.includes(newest.reason ?? '') ? `${newest.reason}: ${newest.message}` : text
  }

  async #newReplicaSet({ metadata, spec, status }: Deployment): Promise<ReplicaSet | undefined> {
    if ((status?.observedGeneration ?? 0) < (metadata.generation ?? 0)) return undefined
    const sets = await this.#list<ReplicaSet>('/apis/apps/v1', 'replicasets', spec.selector.matchLabels ?? {})
    // The controller finds it in the same way.
    return sets.find((set) => isDeepStrictEqual(withoutHash(set.spec.template), withoutHash(spec.template)))
  }

  #list<T>(group: string, resource: string, labels: Record<string, string>): Promise<T[]> {
    const { namespace } = this.#options
    const selector = Object.entries(labels).map(([key, value]) => `${key}=${value}`)
    const path = `${group}/namespaces/${namespace}/${resource}?labelSelector=${encodeURIComponent(selector.join(','))}`
    return this.#api.list<T>(path, { namespace, resource, verb: 'list' })
  }
}

function isComplete({ metadata, spec, status = {} }: Deployment): boolean {
  const wanted = spec.replicas ?? 1
  const { availableReplicas = 0, observedGeneration = 0, replicas = 0, updatedReplicas = 0 } = status
  return (
    observedGeneration >= (metadata.generation ?? 0) && updatedReplicas === wanted && replicas === wanted && availableReplicas === wanted
  )
}

function withoutHash(template: Template): Template {
  const { [HASH_LABEL]: _, ...labels } = template.metadata?.labels ?? {}
  return { ...template, metadata: { ...template.metadata, labels } }
}

function failure({ hint, text }: Problem): TpxError {
  return new TpxError('MANAGER_IMAGE_FAILED', text, { hint })
}
