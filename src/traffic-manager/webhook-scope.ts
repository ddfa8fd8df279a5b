import { TpxError } from '../base/error.ts'
import type { Kubernetes } from './kubernetes-api.ts'
import type { WebhookAccess } from './cluster-access.ts'
import { selects } from './label-selector.ts'

type Namespace = { metadata: { labels?: Record<string, string> } }

/** Refuses a namespace whose Pods the webhook never sees, before a workload is rolled out in vain. */
export type ScopeCheck = (namespace: string) => Promise<void>

/**
 * Holds a namespace against the webhook's namespaceSelector. Where the API does not say, the roll-out finds out.
 * @throws TpxError (from the check) NAMESPACE_NOT_SELECTED
 */
export function webhookScope(options: { kubernetes: Kubernetes; managerNamespace: string; webhooks: WebhookAccess }): ScopeCheck {
  const { kubernetes, managerNamespace, webhooks } = options
  return async (namespace) => {
    const [configuration, found] = await Promise.all([
      webhooks.readWebhookConfiguration(`agent-injector-webhook-${managerNamespace}`).catch(() => undefined),
      kubernetes.get<Namespace>(`/api/v1/namespaces/${encodeURIComponent(namespace)}`).catch(() => undefined),
    ])
    const selectors = (configuration?.webhooks ?? []).flatMap(({ namespaceSelector }) => namespaceSelector ?? [])
    if (!found || selectors.every((selector) => selects(selector, found.metadata.labels ?? {}))) return
    throw new TpxError(
      'NAMESPACE_NOT_SELECTED',
      `The traffic-manager in namespace "${managerNamespace}" adds no agents to Pods of namespace "${namespace}"`,
      {
        hint: "Use the traffic-manager of that namespace (--manager-namespace), or have the chart's namespaceSelector widened",
      },
    )
  }
}
