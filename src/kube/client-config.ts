// A file of its own for the bundler: `await import('@kubernetes/client-node')` would keep all 15 MB of the generated client
// in a bundle, this static import lets it drop what is not used. Import this file lazily: it costs 65 ms.
import { KubeConfig } from '@kubernetes/client-node'

/** An empty kubeconfig. */
export function emptyKubeconfig(): KubeConfig {
  const kubeConfig = new KubeConfig()
  kubeConfig.loadFromOptions({ clusters: [], contexts: [], users: [], currentContext: '' })
  return kubeConfig
}
