/** What matters of a resolv.conf (resolv.conf(5)). */
export type ResolvConf = { nameservers: string[]; ndots: number; search: string[] }

/** glibc takes no more; a Pod's kubelet writes no more than 32. */
const MOST_NDOTS = 15

/** Reads a resolv.conf; of several search lines the last counts. */
export function parseResolvConf(text: string): ResolvConf {
  const found: ResolvConf = { nameservers: [], ndots: 1, search: [] }
  for (const line of text.split('\n')) {
    const [keyword, ...words] = line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/)
    if (keyword === 'nameserver' && words[0]) found.nameservers.push(words[0])
    if (keyword === 'search' || keyword === 'domain') found.search = words
    const ndots = keyword === 'options' && words.find((word) => /^ndots:\d+$/.test(word))
    if (ndots) found.ndots = Math.min(MOST_NDOTS, Number(ndots.slice('ndots:'.length)))
  }

  return found
}

/**
 * The cluster's domain without trailing dot: the kubelet gives Pods the search list `NS.svc.DOMAIN svc.DOMAIN DOMAIN`.
 * Undefined where the list has no such shape.
 */
export function clusterDomainOf({ search }: Pick<ResolvConf, 'search'>): string | undefined {
  const service = search.find((entry) => entry.startsWith('svc.'))
  return service?.slice('svc.'.length).replace(/\.$/, '')
}

/** The search list of a Pod in a namespace, as the kubelet writes it. */
export function podSearchList(namespace: string, clusterDomain: string): string[] {
  return [`${namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain]
}

/**
 * The names that libc asks for, in its order, until one has records: names with fewer dots than ndots below the search list
 * first, others as they are first. A trailing dot says that the name is complete.
 */
export function searchCandidates(name: string, { ndots, search }: Pick<ResolvConf, 'ndots' | 'search'>): string[] {
  const bare = name.replace(/\.$/, '')
  if (name.endsWith('.') || bare === '') return [bare]
  const below = search.map((domain) => `${bare}.${domain.replace(/\.$/, '')}`)
  return bare.split('.').length - 1 >= ndots ? [bare, ...below] : [...below, bare]
}
