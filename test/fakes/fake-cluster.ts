import type {
  RolloutAccess,
  SecretAccess,
  WarningEvent,
  WebhookAccess,
  Workload,
  WorkloadRef,
} from '../../src/traffic-manager/cluster-access.ts'
import type { JsonPatchOperation } from '../../src/traffic-manager/json-patch.ts'
import type { MutatingWebhookConfiguration, Pod, Secret, Service } from '../../src/traffic-manager/kubernetes-objects.ts'
import { applyJsonPatch } from '../helpers/apply-json-patch.ts'

/** A Kubernetes API in memory: what certificates, targets and injection use of it. Tests put objects in and look at what changed. */
export class FakeCluster implements RolloutAccess, SecretAccess, WebhookAccess {
  /** Called after a Pod template got an annotation: the place of the workload's controller. */
  onRollout: (workload: Workload, marker: string) => void = () => {}
  /** Called after a Pod was deleted. */
  onDelete: (name: string) => void = () => {}
  readonly deleted: string[] = []
  pods: Pod[] = []
  readonly secrets = new Map<string, Secret>()
  services: Service[] = []
  warnings: WarningEvent[] = []
  readonly webhooks = new Map<string, MutatingWebhookConfiguration>()
  workloads: Workload[] = []
  rollouts = 0
  #version = 1

  readSecret(namespace: string, name: string): Promise<Secret | undefined> {
    return Promise.resolve(structuredClone(this.secrets.get(`${namespace}/${name}`)))
  }

  replaceSecret(secret: Secret): Promise<boolean> {
    const key = `${secret.metadata?.namespace}/${secret.metadata?.name}`
    if (this.secrets.get(key)?.metadata?.resourceVersion !== secret.metadata?.resourceVersion) return Promise.resolve(false)
    this.putSecret(secret)
    return Promise.resolve(true)
  }

  putSecret(secret: Secret): void {
    const key = `${secret.metadata?.namespace}/${secret.metadata?.name}`
    this.secrets.set(key, { ...structuredClone(secret), metadata: { ...secret.metadata, resourceVersion: String(this.#version++) } })
  }

  readWebhookConfiguration(name: string): Promise<MutatingWebhookConfiguration | undefined> {
    return Promise.resolve(structuredClone(this.webhooks.get(name)))
  }

  patchWebhookConfiguration(name: string, patch: JsonPatchOperation[]): Promise<void> {
    this.webhooks.set(name, applyJsonPatch(this.webhooks.get(name), patch) as MutatingWebhookConfiguration)
    return Promise.resolve()
  }

  findWorkload({ kind, name, namespace }: WorkloadRef): Promise<Workload | undefined> {
    const found = this.workloads.find((workload) => workload.kind === kind && workload.name === name && workload.namespace === namespace)
    return Promise.resolve(structuredClone(found))
  }

  listWorkloads(namespace: string): Promise<Workload[]> {
    return Promise.resolve(this.workloads.filter((workload) => workload.namespace === namespace))
  }

  listServices(namespace: string): Promise<Service[]> {
    return Promise.resolve(this.services.filter(({ metadata }) => (metadata?.namespace ?? namespace) === namespace))
  }

  listPods(): Promise<Pod[]> {
    return Promise.resolve(structuredClone(this.pods))
  }

  listWarnings(): Promise<WarningEvent[]> {
    return Promise.resolve(structuredClone(this.warnings))
  }

  deletePod({ name }: { name: string }): Promise<void> {
    this.deleted.push(name)
    this.pods = this.pods.filter(({ metadata }) => metadata?.name !== name)
    this.onDelete(name)
    return Promise.resolve()
  }

  setTemplateAnnotation(ref: WorkloadRef, name: string, value: string): Promise<void> {
    const workload = this.#get(ref)
    workload.template.metadata = {
      ...workload.template.metadata,
      annotations: { ...workload.template.metadata?.annotations, [name]: value },
    }
    this.rollouts++
    this.onRollout(workload, value)
    return Promise.resolve()
  }

  patchWorkload(ref: WorkloadRef, patch: JsonPatchOperation[]): Promise<boolean> {
    const workload = this.#get(ref)
    try {
      const { spec } = applyJsonPatch({ spec: { template: workload.template } }, patch) as { spec: { template: Workload['template'] } }
      workload.template = spec.template
      return Promise.resolve(true)
    } catch {
      return Promise.resolve(false)
    }
  }

  #get(ref: WorkloadRef): Workload {
    const workload = this.workloads.find(({ kind, name }) => kind === ref.kind && name === ref.name)
    if (!workload) throw new Error(`no ${ref.kind} ${ref.name}`)
    return workload
  }
}
