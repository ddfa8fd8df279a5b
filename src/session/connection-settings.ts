import type { ConnectionSettings } from '../container/holder-container.ts'
import { CLIENT_CONFIG_DEFAULTS, type ClientConfig } from '../wire/client-config.ts'
import { connectionName } from './connection-name.ts'
import { kubeconfigPaths, readKubeContext } from './kube-context.ts'

/** The flags by which a command says which cluster, namespace and user it means, as oclif parses them. */
export type ConnectionFlags = {
  as?: string | undefined
  'as-group'?: string[] | undefined
  'as-uid'?: string | undefined
  context?: string | undefined
  kubeconfig?: string | undefined
  name?: string | undefined
  namespace?: string | undefined
}

/**
 * What a new connection is made of, from flags, kubeconfig and configuration.
 * @throws TpxError KUBECONFIG_INVALID, CONTEXT_NOT_FOUND, USAGE
 */
export function connectionSettings(flags: ConnectionFlags, { cluster, logLevels }: ClientConfig): Omit<ConnectionSettings, 'carrier'> {
  const kubeconfig = kubeconfigPaths(flags.kubeconfig)
  const kube = readKubeContext({ context: flags.context, kubeconfig, namespace: flags.namespace })
  return {
    ...kube,
    impersonate: {
      ...(flags.as ? { as: flags.as } : {}),
      ...(flags['as-group']?.length ? { asGroups: flags['as-group'] } : {}),
      ...(flags['as-uid'] ? { asUid: flags['as-uid'] } : {}),
    },
    kubeconfig,
    linkLogLevel: logLevels?.link ?? CLIENT_CONFIG_DEFAULTS.logLevels.link,
    managerNamespace: cluster?.defaultManagerNamespace ?? CLIENT_CONFIG_DEFAULTS.cluster.defaultManagerNamespace,
    name: connectionName(flags.name, kube),
  }
}

/** What `connect` is given by a command. */
export type ConnectionChoice = { clientConfig: ClientConfig; settings: Omit<ConnectionSettings, 'carrier'>; warnings: string[] }

/**
 * What a command connects with: its flags above everything that is configured on this host.
 * @param flagConfig what the flags set, in the words of config.yml
 * @throws TpxError CONFIG_INVALID, KUBECONFIG_INVALID, CONTEXT_NOT_FOUND, USAGE
 */
export async function readConnectionChoice(flags: ConnectionFlags, flagConfig: ClientConfig): Promise<ConnectionChoice> {
  const { readClientConfig } = await import('./client-config.ts')
  const kubeconfig = kubeconfigPaths(flags.kubeconfig)
  const { config, warnings } = readClientConfig({ context: flags.context, flags: flagConfig, kubeconfig })
  return { clientConfig: config, settings: connectionSettings(flags, config), warnings }
}
