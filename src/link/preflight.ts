import type { KubeConfig } from '@kubernetes/client-node'
import { TpxError } from '../base/error.ts'
import { pollUntil } from '../base/retry.ts'
import { apiError, httpStatusOf } from '../kube/api-error.ts'
import { apiGet } from '../kube/api-request.ts'
import { closestTo } from '../kube/closest-name.ts'
import type { List, Pod, Service } from '../kube/objects.ts'
import { type Diagnosis, diagnosePod, newestWarning } from '../kube/pod-diagnosis.ts'
import { getService, isSelected, listPods, readyPods } from '../kube/pod-lookup.ts'
import { MANAGER_SERVICE } from '../wire/versions.ts'
import { checkPortForward } from './access-review.ts'

/** How long a traffic-manager that is just starting is waited for. */
const STARTING_LIMIT_MS = 20_000

type Namespaces = { managerNamespace: string; namespace: string }

/**
 * Asks the cluster, side by side, whether a session can work at all, so that the user is told what is missing instead of
 * waiting for a time-out.
 * @returns the cluster's domain where the traffic-manager's Pod is configured with it; the manager itself may know it although it is not
 * @throws TpxError NAMESPACE_NOT_FOUND, MANAGER_NOT_INSTALLED, MANAGER_IMAGE_FAILED, KUBERNETES_*
 */
export async function preflight(
  kubeConfig: KubeConfig,
  { managerNamespace, namespace }: Namespaces,
  signal: AbortSignal,
): Promise<{ clusterDomain?: string }> {
  const [, service, pods] = await Promise.all([
    checkNamespace(kubeConfig, namespace, signal),
    getService(kubeConfig, managerNamespace, MANAGER_SERVICE, { signal }),
    // All, because the selector is not known yet: another round trip later would cost more.
    listPods(kubeConfig, managerNamespace, { signal }),
    checkPortForward(kubeConfig, managerNamespace, signal),
  ])
  if (!service) throw await notInstalled(kubeConfig, managerNamespace)
  const [ready] = readyPods(selected(pods, service))
  if (!ready || pods.metadata?.continue) await waitForManager(kubeConfig, service, { managerNamespace, signal })
  return domainOf(ready)
}

/** The chart's value `clusterDomain`. */
function domainOf(pod: Pod | undefined): { clusterDomain?: string } {
  const variables = pod?.spec.containers.flatMap(({ env }) => env ?? [])
  const clusterDomain = variables?.find(({ name }) => name === 'CLUSTER_DOMAIN')?.value?.replaceAll(/^\.|\.$/g, '')
  return clusterDomain ? { clusterDomain } : {}
}

async function checkNamespace(kubeConfig: KubeConfig, namespace: string, signal: AbortSignal): Promise<void> {
  const attempt = { name: namespace, resource: 'namespaces', verb: 'get' }
  try {
    await apiGet(kubeConfig, `/api/v1/namespaces/${encodeURIComponent(namespace)}`, { attempt, signal })
  } catch (error) {
    const status = httpStatusOf(error)
    // Who may only see the inside of a namespace may not read the Namespace object: no reason to stop.
    if (status === 403) return
    if (status !== 404) throw apiError(error, kubeConfig, attempt)
    const near = closestTo(namespace, await namesOf(kubeConfig, '/api/v1/namespaces'))
    throw new TpxError(
      'NAMESPACE_NOT_FOUND',
      `The cluster of context "${kubeConfig.getCurrentContext()}" has no namespace "${namespace}"`,
      {
        hint: near ? `Did you mean "${near}"?` : 'kubectl get namespaces',
      },
    )
  }
}

async function notInstalled(kubeConfig: KubeConfig, managerNamespace: string): Promise<TpxError> {
  const path = `/api/v1/services?fieldSelector=${encodeURIComponent(`metadata.name=${MANAGER_SERVICE}`)}`
  const [elsewhere] = await namesOf(kubeConfig, path, 'namespace')
  return new TpxError('MANAGER_NOT_INSTALLED', `There is no traffic-manager in namespace "${managerNamespace}"`, {
    hint: elsewhere
      ? `One is in namespace "${elsewhere}": pass --manager-namespace ${elsewhere}`
      : `tpx helm install${managerNamespace === 'ambassador' ? '' : ` --manager-namespace ${managerNamespace}`}`,
  })
}

/** Names for a hint; none when the request fails. */
async function namesOf(kubeConfig: KubeConfig, path: string, field: 'name' | 'namespace' = 'name'): Promise<string[]> {
  const attempt = { resource: 'namespaces', verb: 'list' }
  const list = await apiGet<List<{ metadata: { name: string; namespace?: string } }>>(kubeConfig, path, { attempt, timeoutMs: 2000 }).catch(
    () => ({
      items: [],
    }),
  )
  return list.items.map(({ metadata }) => metadata[field] ?? '').filter((name) => name !== '')
}

function selected(pods: List<Pod>, { spec }: Service): Pod[] {
  return pods.items.filter((pod) => isSelected(pod, spec.selector ?? {}))
}

async function waitForManager(
  kubeConfig: KubeConfig,
  service: Service,
  { managerNamespace, signal }: { managerNamespace: string; signal: AbortSignal },
): Promise<void> {
  let seen: { diagnosis: Diagnosis; pod: Pod } | undefined
  const look = async (): Promise<'ready' | 'stuck' | undefined> => {
    const { items } = await listPods(kubeConfig, managerNamespace, { selector: service.spec.selector ?? {}, signal })
    if (readyPods(items).length) return 'ready'
    // The newest Pod is what the Deployment wants now.
    const [pod] = items.sort((a, b) => ((a.metadata.creationTimestamp ?? '') < (b.metadata.creationTimestamp ?? '') ? 1 : -1))
    seen = pod && { diagnosis: diagnosePod(pod), pod }
    return seen?.diagnosis.passes ? undefined : 'stuck'
  }
  if ((await pollUntil(look, { everyMs: 500, timeoutMs: STARTING_LIMIT_MS, signal })) === 'ready') return
  const name = seen?.pod.metadata.name
  const warning = name && (await newestWarning(kubeConfig, managerNamespace, name))
  const reason = name ? `${seen?.diagnosis.text}${warning ? `; ${warning}` : ''}` : 'its Deployment has no Pod'
  throw new TpxError(
    'MANAGER_IMAGE_FAILED',
    `The traffic-manager${name ? ` (Pod "${name}")` : ''} in namespace "${managerNamespace}" is not ready: ${reason}`,
    {
      hint: `kubectl describe ${name ? `pod ${name}` : `deployment ${MANAGER_SERVICE}`} -n ${managerNamespace}`,
    },
  )
}
