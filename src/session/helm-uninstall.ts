import { TpxError } from '../base/error.ts'
import { AgentRemoval, type ChangedWorkload } from '../kube/agent-removal.ts'
import type { ApiClient } from '../kube/api-client.ts'
import { deleteObjects, listLabelled, type OwnedObject, readObject } from '../kube/apply.ts'
import { namespaceContents } from '../kube/namespace-contents.ts'
import { describeRef, listPath } from '../kube/object-path.ts'
import { MANAGER_SERVICE } from '../wire/versions.ts'
import { findManager, type HelmTarget, isOwn, ownLabels, refuseForeign, withCluster } from './helm-release.ts'

/** What was taken out of the cluster. */
export type Uninstalled = {
  namespace: string
  /** Why the namespace is still there; undefined when it is gone. */
  namespaceKept?: string
  removed: string[]
  /** Workloads whose Pods were replaced by some without agent. */
  workloads: ChangedWorkload[]
}

const WEBHOOK_PREFIX = 'agent-injector-webhook-'

/**
 * Removes the traffic-manager, the agents that it injected, and the namespace if tpx made it and nothing else is in it.
 * Repeats what an earlier run did not finish.
 * @throws TpxError MANAGER_EXISTS (another tool's), UNINSTALL_INCOMPLETE, KUBERNETES_*
 */
export async function uninstallManager(options: HelmTarget): Promise<Uninstalled> {
  const { namespace, onProgress, timeoutMs } = options
  return withCluster(options, async (api) => {
    const manager = await findManager(api, namespace)
    if (manager) refuseForeign({ ...manager, kind: 'Deployment' }, namespace, 'uninstall')
    const objects = await listLabelled(api, ownLabels(namespace))
    if (objects.length > 0) onProgress(`Removing the traffic-manager from namespace "${namespace}"`)
    // Webhook and manager go first: agents would come back otherwise. An agent without a manager hands everything to its app.
    await deleteObjects(api, objects, timeoutMs)
    const workloads = await removeAgents(api, options)
    const namespaceKept = await removeNamespace(api, options)
    return { namespace, ...(namespaceKept ? { namespaceKept } : {}), removed: objects.map(describeRef), workloads }
  })
}

async function removeAgents(api: ApiClient, { namespace, onProgress, timeoutMs }: HelmTarget): Promise<ChangedWorkload[]> {
  const webhooks = await api.list<OwnedObject>(listPath('MutatingWebhookConfiguration'), {
    resource: 'mutatingwebhookconfigurations',
    verb: 'list',
  })
  const hasOthers = webhooks.some(({ metadata }) => metadata.name.startsWith(WEBHOOK_PREFIX))
  const removal = new AgentRemoval(api, { onlyManager: hasOthers ? `${MANAGER_SERVICE}.${namespace}.svc` : undefined })
  const workloads = await removal.begin()
  for (const { kind, name, namespace } of workloads) onProgress(`Taking the agent out of ${kind} "${name}" in namespace "${namespace}"`)
  const left = await removal.finish(timeoutMs, onProgress)
  if (left.length > 0)
    throw new TpxError('UNINSTALL_INCOMPLETE', `Pods still have an agent after ${Math.round(timeoutMs / 1000)} s: ${left.join(', ')}`, {
      hint: 'The traffic-manager itself is gone, and these agents only hand everything to their app. See "kubectl rollout status" of the workload, then run "tpx helm uninstall" again',
    })
  return workloads
}

async function removeNamespace(api: ApiClient, { namespace, onProgress, timeoutMs }: HelmTarget): Promise<string | undefined> {
  const ref = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } }
  const there = await readObject(api, ref)
  if (!there) return undefined
  if (!isOwn(there, namespace) || there.metadata.labels?.['app.kubernetes.io/managed-by'] !== 'tpx') return 'tpx did not make it'
  const contents = await namespaceContents(api, namespace)
  if (!Array.isArray(contents)) return `what is in it cannot be told: ${contents.unknown}`
  if (contents.length > 0) return `it holds ${contents.slice(0, 5).join(', ')}${contents.length > 5 ? ', …' : ''}`
  onProgress(`Removing the namespace "${namespace}"`)
  await deleteObjects(api, [ref], timeoutMs)
  return undefined
}
