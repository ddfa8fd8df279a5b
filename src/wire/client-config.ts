// What a user may set about a connection, whoever reads it. Names are Telepresence's, so that a config.yml or the chart's
// `client:` section of a Telepresence user means the same here.

/** A name that stands for another: `name` is answered with a CNAME to `aliasFor`, or with the address that `aliasFor` is. */
export type DnsMapping = { aliasFor: string; name: string }

/** A CIDR whose addresses are reached through the traffic-agent of a workload, under virtual addresses. */
export type ProxyVia = { cidr: string; workload: string }

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
  }
}
