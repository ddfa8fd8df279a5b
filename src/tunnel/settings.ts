import { messageOf, TpxError } from '../base/error.ts'
import type { ClientConfig } from '../wire/client-config.ts'

/** How the tunnel meets the link. */
export type CarrierKind = 'exec' | 'unix'

/** What the CLI tells the tunnel, in the container's environment. */
export type Settings = {
  carrier: CarrierKind
  /** What the CLI found in flags, config.yml and kubeconfig. */
  clientConfig: ClientConfig
  /** user@host, shown to other people. */
  clientName: string
  clusterDomain: string
  connection: string
  /** Name servers ("ip:port,…") for names outside of the cluster while there is no link; may be empty. */
  fallbackNameservers: string
  installId: string
  logLevel: string
  managerNamespace: string
  namespace: string
}

/**
 * Reads the settings from environment variables.
 * @throws TpxError USAGE when a required one is missing or a value is not valid
 */
export function readSettings(env: Readonly<Record<string, string | undefined>>): Settings {
  const required = (name: string): string => {
    const value = env[name]
    if (!value) throw new TpxError('USAGE', `Environment variable "${name}" is not set`)
    return value
  }
  const carrier = env['TPX_CARRIER'] ?? 'unix'
  if (carrier !== 'unix' && carrier !== 'exec') throw new TpxError('USAGE', `TPX_CARRIER must be "unix" or "exec", not "${carrier}"`)
  return {
    carrier,
    clientConfig: readClientConfig(env['TPX_CLIENT_CONFIG']),
    clientName: required('TPX_CLIENT_NAME'),
    clusterDomain: (env['TPX_CLUSTER_DOMAIN'] || 'cluster.local').replaceAll(/^\.|\.$/g, '').toLowerCase(),
    connection: required('TPX_CONNECTION'),
    fallbackNameservers: env['TPX_FALLBACK_NAMESERVERS'] ?? '',
    installId: required('TPX_INSTALL_ID'),
    logLevel: env['TPX_LOG_LEVEL'] || 'info',
    managerNamespace: required('TPX_MANAGER_NAMESPACE'),
    namespace: required('TPX_NAMESPACE'),
  }
}

function readClientConfig(json: string | undefined): ClientConfig {
  try {
    return JSON.parse(json || '{}') as ClientConfig
  } catch (cause) {
    throw new TpxError('USAGE', `TPX_CLIENT_CONFIG is no JSON: ${messageOf(cause)}`, { cause })
  }
}
