import { BlockList, isIP, isIPv6 } from 'node:net'
import { TYPE } from './codes.ts'
import { podSearchList } from './resolv-conf.ts'

/** What decides where a name is looked up. */
export type Zone = {
  /** Without dots at its ends, lower case. */
  clusterDomain: string
  excludeSuffixes: string[]
  /** Names that do not exist, also below the search list. */
  excludes: string[]
  includeSuffixes: string[]
  /** `name` stands for `aliasFor`, a name or an IP address; also below the search list. */
  mappings: { aliasFor: string; name: string }[]
  /** The connected namespace. */
  namespace: string
  /** CIDRs of the cluster, for reverse lookups. */
  subnets: string[]
}

/** Where a question goes. `name` is fully qualified, without the trailing dot; `rule` says in words what decided. */
export type NamePlan = { rule: string } & (
  | { isFiltered: boolean; kind: 'absent' }
  /** A CNAME to each of `names` in turn; the last has this address, or is looked up in its own right. */
  | { address: string | null; kind: 'alias'; names: string[] }
  /** `orAbsent`: while the cluster cannot be asked, the name is taken not to exist. */
  | { kind: 'cluster'; name: string; orAbsent?: true }
  /** Could be either: the cluster is asked first, and the host where the cluster does not know it. */
  | { kind: 'cluster-or-host'; name: string }
  | { kind: 'host' }
  | { kind: 'loopback' }
)

/** Public suffixes under which no two-label name is a Service, as Telepresence has them. */
export const DEFAULT_EXCLUDE_SUFFIXES = ['.com', '.io', '.net', '.org', '.ru']

const bareName = (name: string): string => name.replaceAll(/^\.|\.$/g, '').toLowerCase()
const endsWithin = (name: string, suffix: string): boolean => name === suffix || name.endsWith(`.${suffix}`)

/** The length of the longest suffix that fits; a leading dot in a suffix means nothing. */
function longestFit(name: string, suffixes: string[]): number {
  const fitting = suffixes.map(bareName).filter((suffix) => suffix && endsWithin(name, suffix))
  return Math.max(0, ...fitting.map((suffix) => suffix.length))
}

/** The address that a reverse name (RFC 1035 §3.5, RFC 3596 §2.5) asks about. */
export function reverseAddress(name: string): string | undefined {
  const [, v4] = /^((?:\d{1,3}\.){4})in-addr\.arpa$/.exec(name) ?? []
  if (v4) {
    const text = v4.split('.').toReversed().join('.').slice(1)
    return isIP(text) ? text : undefined
  }
  const [, v6] = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name) ?? []
  const digits = v6?.replaceAll('.', '').split('').toReversed().join('')
  return digits?.match(/.{4}/g)?.join(':')
}

function isClusterAddress(address: string, subnets: string[]): boolean {
  const list = new BlockList()
  for (const subnet of subnets) {
    const [net = '', prefix = '0'] = subnet.split('/')
    list.addSubnet(net, Number(prefix), isIPv6(net) ? 'ipv6' : 'ipv4')
  }
  return list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')
}

function planReverse(name: string, zone: Zone): NamePlan {
  const address = reverseAddress(name)
  if (address?.startsWith('127.')) return { kind: 'loopback', rule: 'an address of this machine itself' }
  if (address && isClusterAddress(address, zone.subnets)) return { kind: 'cluster', name, rule: `${address} is in a subnet of the cluster` }
  return { kind: 'host', rule: 'the address is in no subnet of the cluster' }
}

/** What the name may have been before libc put an entry of the search list behind it: the name itself first. */
function spellings(name: string, { clusterDomain, namespace }: Zone): string[] {
  const below = podSearchList(namespace, clusterDomain).filter((domain) => name.endsWith(`.${domain}`))
  return [name, ...below.map((domain) => name.slice(0, -domain.length - 1))]
}

function mappingOf(name: string, zone: Zone): Zone['mappings'][number] | undefined {
  const possible = spellings(name, zone)
  return zone.mappings.find((mapping) => possible.includes(bareName(mapping.name)))
}

/** Follows mappings from one to the next. A target may be the FQDN of the very name that is mapped; then it is no mapping. */
function planAlias(name: string, zone: Zone): NamePlan | undefined {
  const names: string[] = []
  let address: string | null = null
  for (let found = mappingOf(name, zone); found && address === null;) {
    const target = bareName(found.aliasFor)
    if (isIP(target)) address = target
    else if (target === name || names.includes(target)) break
    else names.push(target)
    found = mappingOf(target, zone)
  }
  if (address === null && names.length === 0) return undefined
  return { address, kind: 'alias', names, rule: `mapped to ${[...names, ...(address === null ? [] : [address])].join(', then ')}` }
}

/**
 * Names below the cluster domain. A public name with the search list behind it (`www.example.com.NS.svc.DOMAIN`) is not asked for:
 * that saves look-ups, and public names work while the cluster is away. Behind `svc.DOMAIN` it might be a name of a namespace
 * called "com", so that the cluster has the word, where it can be asked.
 */
function planFqdn(name: string, zone: Zone): NamePlan {
  const { clusterDomain, namespace } = zone
  const isPublicBelow = (domain: string): boolean => {
    if (!name.endsWith(`.${domain}`)) return false
    const bare = name.slice(0, -domain.length - 1)
    const excluded = longestFit(bare, zone.excludeSuffixes)
    return bare.includes('.') && !/(?:^|\.)_/.test(bare) && excluded > 0 && excluded > longestFit(bare, zone.includeSuffixes)
  }
  const rule = `below the cluster's domain "${clusterDomain}"`
  if (isPublicBelow(`svc.${clusterDomain}`) && !isPublicBelow(`${namespace}.svc.${clusterDomain}`))
    return { kind: 'cluster', name, orAbsent: true, rule }
  const isPublic = [`${namespace}.svc.${clusterDomain}`, clusterDomain].some(isPublicBelow)
  return isPublic
    ? { isFiltered: false, kind: 'absent', rule: 'an excluded suffix with the search list behind it' }
    : { kind: 'cluster', name, rule }
}

/** Names without the cluster domain: `svc`, `svc.ns`, `svc.ns.svc`, and suffixes that the cluster's admin included. */
function planShort(name: string, zone: Zone): NamePlan {
  const labels = name.split('.')
  const { clusterDomain, excludeSuffixes, includeSuffixes, namespace } = zone
  const [included, excluded] = [longestFit(name, includeSuffixes), longestFit(name, excludeSuffixes)]
  if (included > 0 && included >= excluded) return { kind: 'cluster', name, rule: 'an included suffix' }
  if (labels.length === 1)
    return {
      kind: 'cluster-or-host',
      name: `${name}.${namespace}.svc.${clusterDomain}`,
      rule: 'one label: a Service of the namespace, or a name of the host',
    }
  if (labels.length > 2 && labels.at(-1) === 'svc')
    return { kind: 'cluster', name: `${name}.${clusterDomain}`, rule: 'ends in "svc": below the cluster\'s domain' }
  if (excluded > 0) return { kind: 'host', rule: 'an excluded suffix: never in the cluster' }
  if (labels.length === 2)
    return {
      kind: 'cluster-or-host',
      name: `${name}.svc.${clusterDomain}`,
      rule: 'two labels: a Service and its namespace, or a name of the host',
    }
  return { kind: 'host', rule: 'not a name of the cluster' }
}

/** Decides where a question goes. @param name lower case, without the trailing dot */
export function planName(name: string, type: number, zone: Zone): NamePlan {
  const alias = planAlias(name, zone)
  if (alias) return alias
  return planUnmapped(name, type, zone)
}

/** As {@link planName}, for a name that a mapping has led to. */
export function planUnmapped(name: string, type: number, zone: Zone): NamePlan {
  const excluded = zone.excludes.map(bareName)
  if (spellings(name, zone).some((spelling) => excluded.includes(spelling)))
    return { isFiltered: true, kind: 'absent', rule: 'excluded by dns.excludes' }
  // Proxy discovery: a cluster must not decide the proxy of whoever connects to it.
  if (name === 'wpad' || name.startsWith('wpad.'))
    return { isFiltered: true, kind: 'absent', rule: 'proxy discovery (wpad) is never answered' }
  if (endsWithin(name, 'localhost')) return { kind: 'loopback', rule: 'localhost is this machine itself' }
  if (endsWithin(name, zone.clusterDomain)) return planFqdn(name, zone)
  if (name.endsWith('.in-addr.arpa') || name.endsWith('.ip6.arpa'))
    return type === TYPE.ptr ? planReverse(name, zone) : { kind: 'host', rule: 'not a name of the cluster' }
  return name === '' ? { kind: 'host', rule: 'the root' } : planShort(name, zone)
}
