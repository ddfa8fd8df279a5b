import type http from 'node:http'
import type { KubeConfig } from '@kubernetes/client-node'
import type { Event, LabelSelector, MutatingWebhookConfiguration, Pod, PodTemplateSpec, Secret, Service } from './kubernetes-objects.ts'
import { type ApiAttempt, apiError, httpStatusOf } from '../kube/api-error.ts'
import { HttpStatusError, readBody, requesterFor, requestOptions } from '../kube/api-request.ts'
import { serverOf } from '../kube/server-address.ts'
import {
  type RolloutAccess,
  type SecretAccess,
  type WarningEvent,
  type WebhookAccess,
  type Workload,
  WORKLOAD_KINDS,
  type WorkloadKind,
  type WorkloadRef,
} from './cluster-access.ts'
import type { JsonPatchOperation } from './json-patch.ts'
import { labelSelector } from './label-selector.ts'

type List<T> = { items: T[] }
/** What Deployment, StatefulSet and ReplicaSet (apps/v1) have in common, and what only some have. */
type RolledObject = {
  metadata: { name: string; namespace: string; ownerReferences?: { controller?: boolean; kind: string; name: string }[]; uid: string }
  spec: { paused?: boolean; replicas?: number; selector: LabelSelector; template: PodTemplateSpec; updateStrategy?: { type?: string } }
}
type Request = { attempt: ApiAttempt; body?: unknown; contentType?: string; method?: string; path: string }

const REQUEST_TIMEOUT_MS = 10_000
const PLURALS: Record<WorkloadKind, string> = { Deployment: 'deployments', ReplicaSet: 'replicasets', StatefulSet: 'statefulsets' }

/**
 * The part of the Kubernetes API that certificates, targets and injection use, by node:https.
 * Every method throws TpxError KUBERNETES_UNREACHABLE, KUBERNETES_UNAUTHORIZED or KUBERNETES_FORBIDDEN.
 */
export class ClusterApi implements RolloutAccess, SecretAccess, WebhookAccess {
  readonly #kubeConfig: KubeConfig

  constructor(kubeConfig: KubeConfig) {
    this.#kubeConfig = kubeConfig
  }

  readSecret(namespace: string, name: string): Promise<Secret | undefined> {
    return this.#find<Secret>({
      path: `/api/v1/namespaces/${namespace}/secrets/${name}`,
      attempt: { name, namespace, resource: 'secrets', verb: 'get' },
    })
  }

  async replaceSecret(secret: Secret): Promise<boolean> {
    const { name = '', namespace = '' } = secret.metadata ?? {}
    return this.#unless([409], {
      attempt: { name, namespace, resource: 'secrets', verb: 'update' },
      body: secret,
      method: 'PUT',
      path: `/api/v1/namespaces/${namespace}/secrets/${name}`,
    })
  }

  readWebhookConfiguration(name: string): Promise<MutatingWebhookConfiguration | undefined> {
    return this.#find<MutatingWebhookConfiguration>({
      path: webhookPath(name),
      attempt: { name, resource: 'mutatingwebhookconfigurations', verb: 'get' },
    })
  }

  async patchWebhookConfiguration(name: string, patch: JsonPatchOperation[]): Promise<void> {
    await this.#ask({
      attempt: { name, resource: 'mutatingwebhookconfigurations', verb: 'patch' },
      body: patch,
      contentType: 'application/json-patch+json',
      method: 'PATCH',
      path: webhookPath(name),
    })
  }

  async findWorkload({ kind, name, namespace }: WorkloadRef): Promise<Workload | undefined> {
    const path = `${workloadsPath(kind, namespace)}/${name}`
    const found = await this.#find<RolledObject>({ path, attempt: { name, namespace, resource: PLURALS[kind], verb: 'get' } })
    return found && toWorkload(kind, found)
  }

  async listWorkloads(namespace: string): Promise<Workload[]> {
    const lists = await Promise.all(
      WORKLOAD_KINDS.map(async (kind) => {
        const attempt = { namespace, resource: PLURALS[kind], verb: 'list' }
        const { items } = await this.#ask<List<RolledObject>>({ path: workloadsPath(kind, namespace), attempt })
        return items.map((item) => toWorkload(kind, item))
      }),
    )
    return lists.flat()
  }

  async listServices(namespace: string): Promise<Service[]> {
    const attempt = { namespace, resource: 'services', verb: 'list' }
    return (await this.#ask<List<Service>>({ path: `/api/v1/namespaces/${namespace}/services`, attempt })).items
  }

  async listPods(namespace: string, selector: string): Promise<Pod[]> {
    const path = `/api/v1/namespaces/${namespace}/pods?labelSelector=${encodeURIComponent(selector)}`
    return (await this.#ask<List<Pod>>({ path, attempt: { namespace, resource: 'pods', verb: 'list' } })).items
  }

  async listWarnings(namespace: string): Promise<WarningEvent[]> {
    const path = `/api/v1/namespaces/${namespace}/events?fieldSelector=type%3DWarning`
    const { items } = await this.#ask<List<Event>>({ path, attempt: { namespace, resource: 'events', verb: 'list' } })
    return items.map(toWarning)
  }

  async deletePod({ name, namespace, uid }: { name: string; namespace: string; uid: string }): Promise<void> {
    await this.#unless([404, 409], {
      attempt: { name, namespace, resource: 'pods', verb: 'delete' },
      body: { preconditions: { uid } },
      method: 'DELETE',
      path: `/api/v1/namespaces/${namespace}/pods/${name}`,
    })
  }

  async setTemplateAnnotation(ref: WorkloadRef, name: string, value: string): Promise<void> {
    const body = { spec: { template: { metadata: { annotations: { [name]: value } } } } }
    await this.#ask(this.#patchOf(ref, body, 'application/strategic-merge-patch+json'))
  }

  patchWorkload(ref: WorkloadRef, patch: JsonPatchOperation[]): Promise<boolean> {
    // 422: a `test` that does not hold.
    return this.#unless([404, 422], this.#patchOf(ref, patch, 'application/json-patch+json'))
  }

  #patchOf({ kind, name, namespace }: WorkloadRef, body: unknown, contentType: string): Request {
    const attempt = { name, namespace, resource: PLURALS[kind], verb: 'patch' }
    return { attempt, body, contentType, method: 'PATCH', path: `${workloadsPath(kind, namespace)}/${name}` }
  }

  async #find<T>(request: Request): Promise<T | undefined> {
    return this.#send<T>(request).catch((error: unknown) => {
      if (httpStatusOf(error) === 404) return undefined
      throw apiError(error, this.#kubeConfig, request.attempt)
    })
  }

  async #unless(statuses: number[], request: Request): Promise<boolean> {
    try {
      await this.#send(request)
      return true
    } catch (error) {
      if (statuses.includes(httpStatusOf(error) ?? 0)) return false
      throw apiError(error, this.#kubeConfig, request.attempt)
    }
  }

  async #ask<T>(request: Request): Promise<T> {
    return this.#send<T>(request).catch((error: unknown) => {
      throw apiError(error, this.#kubeConfig, request.attempt)
    })
  }

  async #send<T>({ body, contentType = 'application/json', method = 'GET', path }: Request): Promise<T> {
    const content = body === undefined ? undefined : JSON.stringify(body)
    // Node gives the body of a DELETE no length by itself, and the API server then ignores it.
    const length = content === undefined ? {} : { 'Content-Length': Buffer.byteLength(content), 'Content-Type': contentType }
    const headers = { Accept: 'application/json', ...length }
    const options = { ...(await requestOptions(this.#kubeConfig, headers)), method, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) }
    const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
      requesterFor(this.#kubeConfig)(serverOf(this.#kubeConfig) + path, options)
        .once('response', resolve)
        .on('error', reject)
        .end(content)
    })
    const text = await readBody(response)
    const status = response.statusCode ?? 0
    if (status < 200 || status > 299) throw new HttpStatusError(status, text)
    return JSON.parse(text) as T
  }
}

function webhookPath(name: string): string {
  return `/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/${name}`
}

function workloadsPath(kind: WorkloadKind, namespace: string): string {
  return `/apis/apps/v1/namespaces/${namespace}/${PLURALS[kind]}`
}

/** Kinds are absent on the items of a list, so the kind is an argument. */
function toWorkload(kind: WorkloadKind, { metadata, spec }: RolledObject): Workload {
  const owner = metadata.ownerReferences?.find(({ controller }) => controller)
  return {
    isPaused: spec.paused ?? false,
    kind,
    name: metadata.name,
    namespace: metadata.namespace,
    owner: owner && { kind: owner.kind, name: owner.name },
    podSelector: labelSelector(spec.selector),
    replicas: spec.replicas ?? 1,
    rollsItself: kind === 'Deployment' || (kind === 'StatefulSet' && spec.updateStrategy?.type !== 'OnDelete'),
    template: spec.template,
    uid: metadata.uid,
  }
}

function toWarning({ count, involvedObject, message, metadata, reason, series }: Event): WarningEvent {
  return {
    count: series?.count ?? count ?? 1,
    kind: involvedObject.kind ?? '',
    message: message ?? '',
    name: involvedObject.name ?? '',
    reason: reason ?? '',
    uid: metadata.uid ?? '',
  }
}
