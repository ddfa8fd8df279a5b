/** What matters of a Pod's /etc/resolv.conf (resolv.conf(5)). */
export type ResolvConf = { nameservers: string[]; search: string[] }

/** Reads a resolv.conf; of several search lines the last counts. */
export function parseResolvConf(text: string): ResolvConf {
  const found: ResolvConf = { nameservers: [], search: [] }
  for (const line of text.split('\n')) {
    const [keyword, ...words] = line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/)
    if (keyword === 'nameserver' && words[0]) found.nameservers.push(words[0])
    if (keyword === 'search') found.search = words
  }

  return found
}

/**
 * The cluster's domain without trailing dot: the kubelet gives Pods the search list `NS.svc.DOMAIN svc.DOMAIN DOMAIN`.
 * Undefined where the list has no such shape.
 */
export function clusterDomainOf({ search }: ResolvConf): string | undefined {
  const service = search.find((entry) => entry.startsWith('svc.'))
  return service?.slice('svc.'.length).replace(/\.$/, '')
}
