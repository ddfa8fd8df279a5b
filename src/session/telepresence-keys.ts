// Keys of Telepresence's config.yml (up to 2.27) that set something tpx does not have: they are read over with a warning, so that
// such a file can be taken along.

/** Section -> keys, or true for the whole section. */
export const TELEPRESENCE_ONLY: Readonly<Record<string, readonly string[] | true>> = {
  cluster: ['agentPortForward', 'connectFromRootDaemon', 'forceSPDY', 'mappedNamespaces', 'virtualIPSubnet'],
  dns: ['localAddresses', 'localIP', 'recursionCheck', 'remoteIP', 'useComplexLookup'],
  docker: ['addHostGateway', 'enableIPv4', 'enableIPv6', 'hostGateway', 'telemount', 'teleroute'],
  grpc: true,
  helm: true,
  images: ['agentImage', 'clientImage', 'webhookAgentImage', 'webhookRegistry'],
  intercept: ['appProtocolStrategy', 'mountCompletionDelay', 'mountsRoot', 'telemount', 'useFtp'],
  logLevels: ['cli', 'kubeAuthDaemon', 'rootDaemon', 'userDaemon'],
  routing: ['recursionBlockDuration', 'useTAP'],
  telepresenceAPI: true,
  timeouts: [
    'clusterConnect',
    'connectivityCheck',
    'containerShutdown',
    'endpointDial',
    'ftpReadWrite',
    'ftpShutdown',
    'proxyDial',
    'roundtripLatency',
  ],
}

/** Tells whether a key (or, without `key`, a whole section) is Telepresence's alone. */
export function isTelepresenceOnly(section: string, key?: string): boolean {
  const keys = Object.hasOwn(TELEPRESENCE_ONLY, section) ? TELEPRESENCE_ONLY[section] : undefined
  return keys === true || (key !== undefined && keys?.includes(key) === true)
}

type Values = Record<string, unknown>

const isMap = (value: unknown): value is Values => typeof value === 'object' && value !== null && !Array.isArray(value)
const pick = (values: Values, names: Record<string, string>): Values =>
  Object.fromEntries(Object.entries(names).flatMap(([name, to]) => (values[name] === undefined ? [] : [[to, values[name]]])))

/**
 * The extension `telepresence.io` of a kubeconfig in the names of config.yml: before 2.21 it had names of its own
 * (`also-proxy`, `manager.namespace`, …). What has new names stays as it is.
 */
export function modernExtension(value: unknown): unknown {
  if (!isMap(value)) return value
  const { 'allow-conflicting-subnets': _, 'also-proxy': __, dns, manager, 'never-proxy': ___, ...rest } = value
  const { cluster, routing } = rest
  const oldDns = { 'exclude-suffixes': 'excludeSuffixes', 'include-suffixes': 'includeSuffixes', 'lookup-timeout': 'lookupTimeout' }
  const keptDns = isMap(dns) ? Object.entries(dns).filter(([key]) => !key.includes('-')) : []
  const sections: Record<string, Values> = {
    cluster: { ...(isMap(manager) ? pick(manager, { namespace: 'defaultManagerNamespace' }) : {}), ...(isMap(cluster) ? cluster : {}) },
    dns: { ...(isMap(dns) ? pick(dns, oldDns) : {}), ...Object.fromEntries(keptDns) },
    routing: {
      ...pick(value, {
        'allow-conflicting-subnets': 'allowConflictingSubnets',
        'also-proxy': 'alsoProxySubnets',
        'never-proxy': 'neverProxySubnets',
      }),
      ...(isMap(routing) ? routing : {}),
    },
  }
  return { ...rest, ...Object.fromEntries(Object.entries(sections).filter(([, values]) => Object.keys(values).length > 0)) }
}
