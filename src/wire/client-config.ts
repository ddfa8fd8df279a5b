// What a user may set about a connection, whoever reads it. Names are Telepresence's, so that a config.yml or the chart's
// `client:` section of a Telepresence user means the same here. client-config-schema.ts checks it, docs/configuration.md explains it.

/** A name that stands for another: `name` is answered with a CNAME to `aliasFor`, or with the address that `aliasFor` is. */
export type DnsMapping = { aliasFor: string; name: string }

/** A CIDR whose addresses are reached through the traffic-agent of a workload, under virtual addresses. */
export type ProxyVia = { cidr: string; workload: string }

/** How much a program logs, from most to least. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const
/** @see LOG_LEVELS */
export type LogLevel = (typeof LOG_LEVELS)[number]

/** How the tunnel may meet the link. */
export const CARRIERS = ['auto', 'unix', 'exec'] as const
/** @see CARRIERS */
export type CarrierChoice = (typeof CARRIERS)[number]

/** What one source (flags, config.yml, kubeconfig, manager) says; absent = says nothing. Durations are milliseconds. */
export type ClientConfig = {
  cluster?: {
    /** Without dots at its ends; default: what the manager says. */
    clusterDomain?: string
    defaultManagerNamespace?: string
  }
  dns?: {
    /** Suffixes that never lead to the cluster. */
    excludeSuffixes?: string[]
    /** Names that do not exist for this connection, also below the search list. */
    excludes?: string[]
    includeSuffixes?: string[]
    lookupTimeout?: number
    mappings?: DnsMapping[]
  }
  docker?: {
    carrier?: CarrierChoice
  }
  images?: {
    /** Registry, with an optional path, that holds a copy of tpx's images. */
    registry?: string
    /** Full name of the image of holder, tunnel and mount containers; wins over `registry`. */
    tunnelImage?: string
  }
  intercept?: {
    /** Port in the connection's network namespace that gets the traffic where an intercept names none. */
    defaultPort?: number
  }
  logLevels?: {
    link?: LogLevel
    tunnel?: LogLevel
  }
  routing?: {
    allowConflictingSubnets?: string[]
    alsoProxySubnets?: string[]
    /** Whether a subnet that the host or Docker uses itself is reached under virtual addresses; else it is refused. Default true. */
    autoResolveConflicts?: boolean
    neverProxySubnets?: string[]
    proxyVia?: ProxyVia[]
    /** Where virtual addresses are taken from. */
    virtualSubnet?: string
    /** CIDRs that are reached under virtual addresses although nothing conflicts. */
    vnat?: string[]
  }
  timeouts?: {
    /** How long a lost connection to the cluster may last before the apps' TCP connections are reset. */
    connectionGrace?: number
    /** How long `tpx helm` waits for the cluster. */
    helm?: number
    /** How long an attachment may take until the workload's agent is ready. */
    intercept?: number
    /** How long one call to the traffic-manager about the session may take. */
    trafficManagerAPI?: number
    /** How long `tpx connect` waits until routes, DNS and session are there. */
    trafficManagerConnect?: number
  }
}

/** What is in force where nobody says anything; keys whose default depends on the cluster are not here. */
export const CLIENT_CONFIG_DEFAULTS = {
  cluster: { defaultManagerNamespace: 'ambassador' },
  dns: { excludeSuffixes: ['.com', '.io', '.net', '.org', '.ru'], lookupTimeout: 4000 },
  docker: { carrier: 'auto' as const },
  logLevels: { link: 'info', tunnel: 'info' },
  routing: { autoResolveConflicts: true },
  timeouts: { connectionGrace: 600_000, helm: 120_000, intercept: 60_000, trafficManagerAPI: 10_000, trafficManagerConnect: 30_000 },
} satisfies ClientConfig

/** Lists of several sources that are united; every other value of a source replaces those of the sources beneath. */
const UNITED: ReadonlySet<string> = new Set(['routing.neverProxySubnets'])

/** Tells whether the lists of several sources are united. @param key as in "routing.neverProxySubnets" */
export function isUnited(key: string): boolean {
  return UNITED.has(key)
}

/** Lays configurations over each other. @param layers the first wins */
export function mergeClientConfigs(layers: readonly ClientConfig[]): ClientConfig {
  const merged: Record<string, Record<string, unknown>> = {}
  for (const layer of layers) {
    for (const [section, values] of Object.entries(layer)) {
      const target = (merged[section] ??= {})
      for (const [key, value] of Object.entries(values)) {
        const above = target[key]
        if (value === undefined) continue
        if (isUnited(`${section}.${key}`)) target[key] = [...new Set([...((above as string[] | undefined) ?? []), ...(value as string[])])]
        else if (above === undefined) target[key] = value
      }
    }
  }
  return merged
}

/** Every value with its key, "dns.mappings", in the order of the keys. */
export function clientConfigEntries(config: ClientConfig): [key: string, value: unknown][] {
  return Object.entries(config)
    .flatMap(([section, values]) => Object.entries(values).map(([key, value]): [string, unknown] => [`${section}.${key}`, value]))
    .filter(([, value]) => value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
}
