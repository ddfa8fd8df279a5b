import { WorkloadInfo_State as State } from '../wire/generated/manager_pb.ts'
import type { KubernetesObject } from './object-store.ts'

/** What matters of a Deployment, StatefulSet or ReplicaSet (apps/v1) to those who list workloads. */
export type WorkloadObject = KubernetesObject & {
  metadata: KubernetesObject['metadata'] & { ownerReferences?: { controller?: boolean }[]; uid?: string }
  spec?: { replicas?: number }
  status?: {
    availableReplicas?: number
    conditions?: { reason?: string; status: string; type: string }[]
    updatedReplicas?: number
  }
}

/** Tells how a workload is, from its conditions (Deployments) or its counts. */
export function stateOf({ spec, status }: WorkloadObject): State {
  const holds = (type: string, wanted: string): boolean => status?.conditions?.some((c) => c.type === type && c.status === wanted) ?? false
  if (holds('ReplicaFailure', 'True') || holds('Progressing', 'False')) return State.FAILURE
  if (holds('Available', 'True')) return State.AVAILABLE
  const wanted = spec?.replicas ?? 1
  return (status?.availableReplicas ?? 0) >= wanted ? State.AVAILABLE : State.PROGRESSING
}

/** A workload that another one controls (a Deployment's ReplicaSet) is not listed by itself. */
export function isControlled({ metadata }: WorkloadObject): boolean {
  return metadata.ownerReferences?.some(({ controller }) => controller) ?? false
}
