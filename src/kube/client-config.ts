// A file of its own for the bundler: `await import('@kubernetes/client-node')` would keep all 15 MB of the generated client
// in a bundle, this static import lets it drop what is not used. Import this file lazily: it costs 65 ms.
import type https from 'node:https'
import { KubeConfig } from '@kubernetes/client-node'
import type { Credentials } from './credentials.ts'

/**
 * A KubeConfig whose user's credentials are ours to find: client-node knows no `tokenFile`, no impersonated groups, and runs
 * plugins without KUBERNETES_EXEC_INFO, without a time limit and with an open stdin.
 */
export class HostKubeConfig extends KubeConfig {
  /** Set once the context is chosen. */
  credentials: Credentials | undefined

  override async applyToHTTPSOptions(options: https.RequestOptions): Promise<void> {
    await super.applyToHTTPSOptions(options)
    await this.credentials?.apply(options)
  }
}

/** An empty kubeconfig. */
export function emptyKubeconfig(): HostKubeConfig {
  const kubeConfig = new HostKubeConfig()
  kubeConfig.loadFromOptions({ clusters: [], contexts: [], users: [], currentContext: '' })
  return kubeConfig
}
