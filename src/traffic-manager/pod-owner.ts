import type { Pod } from './kubernetes-objects.ts'
import { type WorkloadAccess, WORKLOAD_KINDS, type WorkloadRef } from './cluster-access.ts'

/** The label by which the Deployment controller tells the Pods of its ReplicaSets apart; also the end of the ReplicaSet's name. */
const TEMPLATE_HASH = 'pod-template-hash'

/** The workload that a Pod belongs to, as a user names it; undefined for Pods of anything else (Jobs, DaemonSets, bare Pods). */
export async function ownerOf(
  pod: Pod,
  namespace: string,
  cluster: Pick<WorkloadAccess, 'findWorkload'>,
): Promise<WorkloadRef | undefined> {
  const owner = pod.metadata?.ownerReferences?.find(({ controller }) => controller)
  if (!owner) return undefined
  if (owner.kind === 'ReplicaSet') return ofReplicaSet(pod, { name: owner.name, namespace }, cluster)
  const kind = WORKLOAD_KINDS.find((known) => known === owner.kind)
  return kind && { kind, name: owner.name, namespace }
}

async function ofReplicaSet(
  pod: Pod,
  { name, namespace }: { name: string; namespace: string },
  cluster: Pick<WorkloadAccess, 'findWorkload'>,
): Promise<WorkloadRef | undefined> {
  const hash = pod.metadata?.labels?.[TEMPLATE_HASH]
  // Saves the question: this runs while the API server waits to create a Pod.
  if (hash && name.endsWith(`-${hash}`)) return { kind: 'Deployment', name: name.slice(0, -hash.length - 1), namespace }
  const replicaSet = await cluster.findWorkload({ kind: 'ReplicaSet', name, namespace })
  const owner = replicaSet?.owner
  if (!owner) return { kind: 'ReplicaSet', name, namespace }
  return owner.kind === 'Deployment' ? { kind: 'Deployment', name: owner.name, namespace } : undefined
}
