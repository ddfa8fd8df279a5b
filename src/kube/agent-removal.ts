import { INJECTED_ANNOTATION, WANTED_ANNOTATION } from '../base/annotations.ts'
import type { ApiClient } from './api-client.ts'
import { pause } from './apply.ts'
import { apiError, httpStatusOf } from './api-error.ts'

/** What "kubectl rollout restart" sets. */
const RESTART_ANNOTATION = 'kubectl.kubernetes.io/restartedAt'
const POLL_MS = 500

/** A workload that the traffic-manager had changed. */
export type ChangedWorkload = { kind: 'Deployment' | 'ReplicaSet' | 'StatefulSet'; name: string; namespace: string }

type Owner = { controller?: boolean; kind: string; name: string }
type Meta = {
  annotations?: Record<string, string>
  deletionTimestamp?: string
  name: string
  namespace: string
  ownerReferences?: Owner[]
  uid: string
}
type Pod = { metadata: Meta; spec: { initContainers?: { env?: { name: string; value?: string }[]; name: string }[] } }
type Workload = {
  metadata: Meta
  ref: ChangedWorkload
  spec: { template: { metadata?: { annotations?: Record<string, string> } }; updateStrategy?: { type?: string } }
}

const PLURALS = { Deployment: 'deployments', ReplicaSet: 'replicasets', StatefulSet: 'statefulsets' } as const
const KINDS = ['Deployment', 'StatefulSet', 'ReplicaSet'] as const

/** Takes the agents of a traffic-manager out of all workloads. The webhook must be gone, or they come back. */
export class AgentRemoval {
  readonly #api: ApiClient
  /** Where several traffic-managers are in the cluster, only what this one's agents name as theirs is touched. */
  readonly #onlyManager: string | undefined

  constructor(api: ApiClient, options: { onlyManager?: string | undefined } = {}) {
    this.#api = api
    this.#onlyManager = options.onlyManager
  }

  /** Makes the workloads roll out without agents; answers which. */
  async begin(): Promise<ChangedWorkload[]> {
    const [pods, ...lists] = await Promise.all([this.#injectedPods(), ...KINDS.map((kind) => this.#workloads(kind))])
    const workloads = lists.flat()
    const injected = new Set(pods.flatMap((pod) => ownersOf(pod, workloads)).map(({ metadata }) => metadata.uid))
    const found = workloads.filter((workload) => {
      const isOurs = injected.has(workload.metadata.uid) || (this.#onlyManager === undefined && isWanted(workload))
      return isOurs && !isOwned(workload)
    })
    await Promise.all(found.map((workload) => this.#roll(workload)))
    const lazy = found.filter((workload) => !rollsItself(workload))
    await Promise.all(pods.filter((pod) => ownersOf(pod, lazy).length > 0).map((pod) => this.#deletePod(pod)))
    return found.map(({ ref }) => ref)
  }

  /** Waits until no Pod with an agent is left; answers those that still are, as "namespace/name", when the time is up. */
  async finish(timeoutMs: number, onProgress: (text: string) => void): Promise<string[]> {
    const end = performance.now() + timeoutMs
    for (let before = -1; ;) {
      const pods = (await this.#injectedPods()).filter(({ metadata }) => !metadata.deletionTimestamp)
      if (pods.length === 0 || performance.now() > end) return pods.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`)
      if (pods.length !== before) onProgress(`Waiting for ${pods.length} Pod${pods.length === 1 ? '' : 's'} with an agent to be replaced`)
      before = pods.length
      await pause(this.#api, POLL_MS)
    }
  }

  async #injectedPods(): Promise<Pod[]> {
    const pods = await this.#api.list<Pod>('/api/v1/pods', { resource: 'pods', verb: 'list' })
    return pods.filter((pod) => INJECTED_ANNOTATION in (pod.metadata.annotations ?? {}) && this.#isOurs(pod))
  }

  #isOurs({ spec }: Pod): boolean {
    if (this.#onlyManager === undefined) return true
    const config = spec.initContainers?.flatMap(({ env }) => env ?? []).find(({ name }) => name === 'TPX_AGENT_CONFIG')?.value
    return config?.includes(`"${this.#onlyManager}"`) ?? false
  }

  async #workloads(kind: ChangedWorkload['kind']): Promise<Workload[]> {
    const items = await this.#api.list<Omit<Workload, 'ref'>>(`/apis/apps/v1/${PLURALS[kind]}`, { resource: PLURALS[kind], verb: 'list' })
    return items.map((item) => ({ ...item, ref: { kind, name: item.metadata.name, namespace: item.metadata.namespace } }))
  }

  /** Without our annotation the template is as it was before; a Pod that was injected by an annotation of the user's needs a restart. */
  async #roll(workload: Workload): Promise<void> {
    const { kind, name, namespace } = workload.ref
    const annotations = isWanted(workload) ? { [WANTED_ANNOTATION]: null } : { [RESTART_ANNOTATION]: new Date().toISOString() }
    await this.#write('PATCH', `/apis/apps/v1/namespaces/${namespace}/${PLURALS[kind]}/${name}`, {
      attempt: { name, namespace, resource: PLURALS[kind], verb: 'patch' },
      body: { spec: { template: { metadata: { annotations } } } },
    })
  }

  async #deletePod({ metadata: { name, namespace, uid } }: Pod): Promise<void> {
    await this.#write('DELETE', `/api/v1/namespaces/${namespace}/pods/${name}`, {
      attempt: { name, namespace, resource: 'pods', verb: 'delete' },
      body: { preconditions: { uid } },
    })
  }

  async #write(
    method: 'DELETE' | 'PATCH',
    path: string,
    { attempt, body }: { attempt: Parameters<typeof apiError>[2]; body: unknown },
  ): Promise<void> {
    const contentType = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json'
    await this.#api.write({ attempt, body, contentType, method, path }).catch((error: unknown) => {
      // Gone or replaced by another one, meanwhile.
      if (![404, 409].includes(httpStatusOf(error) ?? 0)) throw apiError(error, this.#api.kubeConfig, attempt)
    })
  }
}

/** The controllers above a Pod: its ReplicaSet and the Deployment of that, or its StatefulSet. */
function ownersOf({ metadata }: { metadata: Meta }, workloads: Workload[]): Workload[] {
  const owner = metadata.ownerReferences?.find(({ controller }) => controller)
  const found =
    owner && workloads.find(({ ref }) => ref.kind === owner.kind && ref.name === owner.name && ref.namespace === metadata.namespace)
  return found ? [found, ...ownersOf(found, workloads)] : []
}

function isWanted({ spec }: Workload): boolean {
  return WANTED_ANNOTATION in (spec.template.metadata?.annotations ?? {})
}

/** A ReplicaSet of a Deployment follows it. */
function isOwned({ metadata }: Workload): boolean {
  return metadata.ownerReferences?.some(({ controller }) => controller) ?? false
}

function rollsItself({ ref, spec }: Workload): boolean {
  return ref.kind === 'Deployment' || (ref.kind === 'StatefulSet' && spec.updateStrategy?.type !== 'OnDelete')
}
