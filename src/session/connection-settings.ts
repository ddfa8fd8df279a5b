import type { ConnectionSettings } from '../container/holder-container.ts'
import { connectionName } from './connection-name.ts'
import { kubeconfigPaths, readKubeContext } from './kube-context.ts'

/** The flags by which a command says which cluster, namespace and user it means, as oclif parses them. */
export type ConnectionFlags = {
  as?: string | undefined
  'as-group'?: string[] | undefined
  'as-uid'?: string | undefined
  context?: string | undefined
  kubeconfig?: string | undefined
  'manager-namespace': string
  name?: string | undefined
  namespace?: string | undefined
}

/**
 * What a new connection is made of, from flags and kubeconfig.
 * @throws TpxError KUBECONFIG_INVALID, CONTEXT_NOT_FOUND, USAGE
 */
export function connectionSettings(flags: ConnectionFlags): Omit<ConnectionSettings, 'carrier'> {
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
    managerNamespace: flags['manager-namespace'],
    name: connectionName(flags.name, kube),
  }
}
