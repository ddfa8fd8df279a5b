import type { KubeConfig } from '@kubernetes/client-node'
import { TpxError } from '../base/error.ts'
import { apiPost } from '../kube/api-request.ts'

/** Kubernetes SelfSubjectAccessReview (authorization.k8s.io/v1). */
type Review = { status?: { allowed?: boolean } }

/**
 * Asks whether this user may open port-forwards to Pods of the namespace, so that a missing permission is said at once. SPDY
 * needs the verb create and WebSocket get: one of the two will do. Where the question cannot be asked, the attempt tells.
 * @throws TpxError KUBERNETES_FORBIDDEN
 */
export async function checkPortForward(kubeConfig: KubeConfig, namespace: string, signal: AbortSignal): Promise<void> {
  for (const verb of ['create', 'get']) if (await mayForward(kubeConfig, { namespace, signal, verb })) return
  throw new TpxError(
    'KUBERNETES_FORBIDDEN',
    `The user of context "${kubeConfig.getCurrentContext()}" may not open port-forwards in namespace "${namespace}" (create pods/portforward)`,
    {
      hint: `Ask for the permission; check it with "kubectl auth can-i create pods/portforward -n ${namespace}"`,
    },
  )
}

async function mayForward(
  kubeConfig: KubeConfig,
  { namespace, signal, verb }: { namespace: string; signal: AbortSignal; verb: string },
): Promise<boolean> {
  const body = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: { resourceAttributes: { namespace, resource: 'pods', subresource: 'portforward', verb } },
  }
  const attempt = { resource: 'selfsubjectaccessreviews', verb: 'create' }
  try {
    const review = await apiPost<Review>(kubeConfig, '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', body, { attempt, signal })
    return review.status?.allowed !== false
  } catch {
    return true
  }
}
