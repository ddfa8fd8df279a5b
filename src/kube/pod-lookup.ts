import type { KubeConfig } from '@kubernetes/client-node'
import { TpxError } from '../base/error.ts'
import { apiError, httpStatusOf } from './api-error.ts'
import { apiGet } from './api-request.ts'
import type { List, Pod, Service } from './objects.ts'
import { diagnosePod } from './pod-diagnosis.ts'

type Options = { signal?: AbortSignal }

/** @returns undefined when there is none; @throws TpxError KUBERNETES_* */
export async function getService(
  kubeConfig: KubeConfig,
  namespace: string,
  name: string,
  options: Options = {},
): Promise<Service | undefined> {
  const attempt = { name, namespace, resource: 'services', verb: 'get' }
  try {
    return await apiGet<Service>(kubeConfig, `/api/v1/namespaces/${namespace}/services/${name}`, { ...options, attempt })
  } catch (error) {
    if (httpStatusOf(error) === 404) return undefined
    throw apiError(error, kubeConfig, attempt)
  }
}

/**
 * The Pods of a namespace, all (one page of 500) or by label selector.
 * @throws TpxError KUBERNETES_*
 */
export async function listPods(
  kubeConfig: KubeConfig,
  namespace: string,
  options: Options & { selector?: Record<string, string> } = {},
): Promise<List<Pod>> {
  const { selector, ...rest } = options
  const query = selector
    ? `?labelSelector=${encodeURIComponent(
        Object.entries(selector)
          .map(([key, value]) => `${key}=${value}`)
          .join(','),
      )}`
    : '?limit=500'
  const attempt = { namespace, resource: 'pods', verb: 'list' }
  try {
    return await apiGet<List<Pod>>(kubeConfig, `/api/v1/namespaces/${namespace}/pods${query}`, { ...rest, attempt })
  } catch (error) {
    throw apiError(error, kubeConfig, attempt)
  }
}

/** Running, Ready and not on its way out. */
export function isPodReady({ metadata, status }: Pod): boolean {
  const ready = status?.conditions?.some(({ status, type }) => type === 'Ready' && status === 'True')
  return status?.phase === 'Running' && ready === true && !metadata.deletionTimestamp
}

/** Tells whether a Service's selector chooses the Pod. */
export function isSelected(pod: Pod, selector: Record<string, string>): boolean {
  return Object.entries(selector).every(([key, value]) => pod.metadata.labels?.[key] === value)
}

/** Oldest first, so that everybody who asks gets the same one of several. */
export function readyPods(pods: Pod[]): Pod[] {
  const age = ({ metadata }: Pod): string => `${metadata.creationTimestamp ?? ''} ${metadata.name}`
  return pods.filter(isPodReady).sort((a, b) => (age(a) < age(b) ? -1 : 1))
}

/** Container port to which a Service's port leads in this Pod; named target ports are looked up. Undefined when it has none. */
export function targetPortOf(service: Service, port: number, pod: Pod): number | undefined {
  const found = service.spec.ports?.find((entry) => entry.port === port)
  if (!found) return undefined
  const target = found.targetPort ?? found.port
  if (typeof target === 'number') return target
  return pod.spec.containers.flatMap(({ ports }) => ports ?? []).find(({ name }) => name === target)?.containerPort
}

/**
 * A ready Pod behind a Service, and the number of the port there.
 * @throws TpxError SERVICE_NOT_FOUND, PORT_NOT_FOUND, POD_NOT_FOUND (none ready), KUBERNETES_*
 */
export async function resolveService(
  kubeConfig: KubeConfig,
  { name, namespace, port }: { name: string; namespace: string; port: number },
  options: Options = {},
): Promise<{ namespace: string; pod: string; port: number }> {
  const service = await getService(kubeConfig, namespace, name, options)
  if (!service)
    throw new TpxError('SERVICE_NOT_FOUND', `There is no Service "${name}" in namespace "${namespace}"`, {
      hint: `kubectl get services -n ${namespace}`,
    })
  const { selector } = service.spec
  if (!selector) throw new TpxError('POD_NOT_FOUND', `Service "${name}" in namespace "${namespace}" selects no Pods`)
  const { items } = await listPods(kubeConfig, namespace, { ...options, selector })
  const [pod] = readyPods(items)
  if (!pod) {
    throw new TpxError('POD_NOT_FOUND', `Service "${name}" in namespace "${namespace}" has no ready Pod${whyNoneIsReady(items)}`, {
      hint: `kubectl get pods -n ${namespace}`,
    })
  }

  const target = targetPortOf(service, port, pod)
  if (target === undefined)
    throw new TpxError(
      'PORT_NOT_FOUND',
      `Service "${name}" in namespace "${namespace}" has no port ${port} that leads to Pod "${pod.metadata.name}"`,
    )
  return { namespace, pod: pod.metadata.name, port: target }
}

/** The newest Pod is what is wanted now. */
function whyNoneIsReady(pods: Pod[]): string {
  const age = ({ metadata }: Pod): string => metadata.creationTimestamp ?? ''
  const [newest] = pods.toSorted((a, b) => (age(a) < age(b) ? 1 : -1))
  return newest ? `: Pod "${newest.metadata.name}": ${diagnosePod(newest).text}` : ''
}
