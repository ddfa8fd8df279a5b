import { httpStatusOf } from '../kube/api-error.ts'
import type { WorkloadOfPod } from './agent-service.ts'
import type { WorkloadAccess } from './cluster-access.ts'
import type { Kubernetes } from './kubernetes-api.ts'
import type { Pod } from './kubernetes-objects.ts'
import { ownerOf } from './pod-owner.ts'

type Namespace = { metadata: { uid: string } }

/** UID of a namespace; undefined when there is none. Rejects when the API does not say. */
export async function namespaceUid(kubernetes: Kubernetes, namespace: string): Promise<string | undefined> {
  try {
    return (await kubernetes.get<Namespace>(`/api/v1/namespaces/${encodeURIComponent(namespace)}`)).metadata.uid
  } catch (error) {
    if (httpStatusOf(error) === 404) return undefined
    throw error
  }
}

/** Which workload a Pod belongs to, from the API; undefined when the Pod is gone, is another one, or belongs to none. */
export function workloadOfPod(kubernetes: Kubernetes, cluster: Pick<WorkloadAccess, 'findWorkload'>): WorkloadOfPod {
  return async ({ namespace, podName, podUid }) => {
    try {
      const pod = await kubernetes.get<Pod & { metadata: { uid?: string } }>(`/api/v1/namespaces/${namespace}/pods/${podName}`)
      return pod.metadata.uid === podUid ? await ownerOf(pod, namespace, cluster) : undefined
    } catch (error) {
      if (httpStatusOf(error) === 404) return undefined
      throw error
    }
  }
}
