import { CLIENT_CONFIG_DEFAULTS } from '../wire/client-config.ts'
import { readClientConfig } from './client-config.ts'
import type { HelmTarget } from './helm-release.ts'
import { kubeconfigPaths } from './kube-context.ts'

/** The flags that every command about the traffic-manager's installation has. */
export type HelmFlags = {
  as?: string | undefined
  'as-group'?: string[] | undefined
  'as-uid'?: string | undefined
  context?: string | undefined
  kubeconfig?: string | undefined
  'manager-namespace'?: string | undefined
  /** Milliseconds. */
  timeout?: number | undefined
}

/**
 * Where and how a command works on the traffic-manager: what the flags leave open is taken from the configuration.
 * @throws TpxError CONFIG_INVALID
 */
export function helmTarget(
  flags: HelmFlags,
  options: Pick<HelmTarget, 'onProgress' | 'root' | 'signal'> & { onWarnings: (texts: string[]) => void },
): HelmTarget {
  const { onWarnings, ...rest } = options
  const { config, warnings } = readClientConfig({ context: flags.context, kubeconfig: kubeconfigPaths(flags.kubeconfig) })
  onWarnings(warnings)
  const defaults = CLIENT_CONFIG_DEFAULTS
  return {
    ...rest,
    as: flags.as,
    asGroups: flags['as-group'],
    asUid: flags['as-uid'],
    context: flags.context,
    kubeconfig: flags.kubeconfig,
    namespace: flags['manager-namespace'] ?? config.cluster?.defaultManagerNamespace ?? defaults.cluster.defaultManagerNamespace,
    timeoutMs: flags.timeout ?? config.timeouts?.helm ?? defaults.timeouts.helm,
  }
}
