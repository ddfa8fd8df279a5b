// What certificates, target and injection ask of the Kubernetes API, as small ports; kubernetes.ts is the adapter.
import type { MutatingWebhookConfiguration, Pod, PodTemplateSpec, Secret, Service } from './kubernetes-objects.ts'
import type { JsonPatchOperation } from './json-patch.ts'

/** The kinds whose Pods can get an agent, in the order in which a bare name is looked up. */
export const WORKLOAD_KINDS = ['Deployment', 'StatefulSet', 'ReplicaSet'] as const
/** @see WORKLOAD_KINDS */
export type WorkloadKind = (typeof WORKLOAD_KINDS)[number]

/** Names a workload. */
export type WorkloadRef = { kind: WorkloadKind; name: string; namespace: string }

/** What matters of a Deployment, StatefulSet or ReplicaSet. */
export type Workload = WorkloadRef & {
  /** A paused Deployment does not roll out. */
  isPaused: boolean
  /** The controlling owner, e.g. the Deployment of a ReplicaSet. */
  owner: { kind: string; name: string } | undefined
  /** `spec.selector` as a label selector of a list request. */
  podSelector: string
  replicas: number
  /** False where no controller replaces Pods after the template changed: a bare ReplicaSet, a StatefulSet with OnDelete. */
  rollsItself: boolean
  template: PodTemplateSpec
  uid: string
}

/** An event of type Warning (core/v1). */
export type WarningEvent = { count: number; kind: string; message: string; name: string; reason: string; uid: string }

/** The Secret that keeps the certificates. */
export interface SecretAccess {
  readSecret(namespace: string, name: string): Promise<Secret | undefined>
  /** Replaces it under the precondition of its resourceVersion; false when somebody was faster. */
  replaceSecret(secret: Secret): Promise<boolean>
}

/** The registration of the admission webhook. */
export interface WebhookAccess {
  patchWebhookConfiguration(name: string, patch: JsonPatchOperation[]): Promise<void>
  readWebhookConfiguration(name: string): Promise<MutatingWebhookConfiguration | undefined>
}

/** Workloads and the Services that may lead to them. */
export interface WorkloadAccess {
  findWorkload(ref: WorkloadRef): Promise<Workload | undefined>
  listServices(namespace: string): Promise<Service[]>
  /** All kinds. */
  listWorkloads(namespace: string): Promise<Workload[]>
}

/** What a roll-out needs. */
export interface RolloutAccess extends WorkloadAccess {
  /** Under the precondition of the uid; a Pod that is gone is no error. */
  deletePod(pod: { name: string; namespace: string; uid: string }): Promise<void>
  listPods(namespace: string, labelSelector: string): Promise<Pod[]>
  listWarnings(namespace: string): Promise<WarningEvent[]>
  /** JSON Patch; false when a `test` operation did not hold or the workload is gone. */
  patchWorkload(ref: WorkloadRef, patch: JsonPatchOperation[]): Promise<boolean>
  /** Strategic merge patch of `spec.template.metadata.annotations`. */
  setTemplateAnnotation(ref: WorkloadRef, name: string, value: string): Promise<void>
}
