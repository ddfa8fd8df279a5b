import type { ApiClient } from './api-client.ts'
import { messageOf } from '../base/error.ts'

type Resource = { resource: string; responseKind?: { kind?: string }; scope: string; verbs?: string[] }
type Discovery = { items: { metadata: { name?: string }; versions: { freshness?: string; resources?: Resource[]; version: string }[] }[] }
type Partial = { items?: { metadata: { name: string; ownerReferences?: unknown[] } }[] }

const DISCOVERY =
  'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList'
const METADATA_ONLY = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json'

/** Resources that only mirror others, or that nobody keeps anything in. */
const IGNORED = ['events', 'endpoints', 'endpointslices', 'leases', 'pods.metrics.k8s.io']
/** Every namespace has these from the beginning. */
const BORN_WITH = ['configmaps/kube-root-ca.crt', 'serviceaccounts/default']

/**
 * What a namespace holds besides what every namespace is born with, e.g. "configmaps/mine"; objects that belong to others
 * are left out. Undefined when it cannot be known, because a resource cannot be listed.
 */
export async function namespaceContents(api: ApiClient, namespace: string): Promise<string[] | { unknown: string }> {
  try {
    const found: string[] = []
    for (const { path, resource } of await namespacedResources(api, namespace)) {
      const list = await api.getAs<Partial>(`${path}?limit=50`, METADATA_ONLY, { namespace, resource, verb: 'list' })
      const own = (list.items ?? []).filter(({ metadata }) => !metadata.ownerReferences?.length)
      found.push(...own.map(({ metadata }) => `${resource}/${metadata.name}`))
    }

    return found.filter((name) => !BORN_WITH.includes(name))
  } catch (error) {
    return { unknown: messageOf(error) }
  }
}

/** By aggregated discovery (Kubernetes 1.27 and later): two requests for all groups. */
async function namespacedResources(api: ApiClient, namespace: string): Promise<{ path: string; resource: string }[]> {
  const attempt = { resource: 'the API groups', verb: 'list' }
  const documents = await Promise.all(['/api', '/apis'].map((path) => api.getAs<Discovery>(path, DISCOVERY, attempt)))
  return documents.flatMap(({ items }) =>
    items.flatMap(({ metadata, versions }) => {
      const group = metadata.name ?? ''
      const [preferred] = versions
      const prefix = group ? `/apis/${group}/${preferred?.version}` : `/api/${preferred?.version}`
      return (preferred?.resources ?? [])
        .filter(({ resource, scope, verbs }) => scope === 'Namespaced' && verbs?.includes('list') && !isIgnored(resource, group))
        .map(({ resource }) => ({ path: `${prefix}/namespaces/${namespace}/${resource}`, resource }))
    }),
  )
}

function isIgnored(resource: string, group: string): boolean {
  return IGNORED.includes(resource) || IGNORED.includes(`${resource}.${group}`)
}
