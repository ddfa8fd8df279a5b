import { BlockList, isIP, isIPv6 } from 'node:net'
import { TYPE } from './codes.ts'

/** What decides where a name is looked up. */
export type Zone = {
  /** Without dots at its ends, lower case. */
  clusterDomain: string
  excludeSuffixes: string[]
  includeSuffixes: string[]
  /** The connected namespace. */
  namespace: string
  /** CIDRs of the cluster, for reverse lookups. */
  subnets: string[]
}

/** Where a question goes. `name` is fully qualified, without the trailing dot. */
export type NamePlan =
  | { kind: 'absent' }
  | { kind: 'cluster'; name: string }
  /** Could be either: the cluster is asked first, and the host where the cluster does not know it. */
  | { kind: 'cluster-or-host'; name: string }
  | { kind: 'host' }
  | { kind: 'loopback' }

/** Public suffixes under which no two-label name is a Service, as Telepresence has them. */
export const DEFAULT_EXCLUDE_SUFFIXES = ['.com', '.io', '.net', '.org', '.ru']

const endsWithin = (name: string, suffix: string): boolean => name === suffix || name.endsWith(`.${suffix}`)

/** The length of the longest suffix that fits; a leading dot in a suffix means nothing. */
function longestFit(name: string, suffixes: string[]): number {
  const fitting = suffixes
    .map((suffix) => suffix.replaceAll(/^\.|\.$/g, '').toLowerCase())
    .filter((suffix) => suffix && endsWithin(name, suffix))
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
  if (address?.startsWith('127.')) return { kind: 'loopback' }
  return address && isClusterAddress(address, zone.subnets) ? { kind: 'cluster', name } : { kind: 'host' }
}

/** Names without the cluster domain: `svc`, `svc.ns`, `svc.ns.svc`, and suffixes that the cluster's admin included. */
function planShort(name: string, zone: Zone): NamePlan {
  const labels = name.split('.')
  const included = longestFit(name, zone.includeSuffixes)
  if (included > 0 && included >= longestFit(name, zone.excludeSuffixes)) return { kind: 'cluster', name }
  if (labels.length === 1) return { kind: 'cluster-or-host', name: `${name}.${zone.namespace}.svc.${zone.clusterDomain}` }
  if (labels.length > 2 && labels.at(-1) === 'svc') return { kind: 'cluster', name: `${name}.${zone.clusterDomain}` }
  if (labels.length === 2 && longestFit(name, zone.excludeSuffixes) === 0)
    return { kind: 'cluster-or-host', name: `${name}.svc.${zone.clusterDomain}` }
  return { kind: 'host' }
}

/** Decides where a question goes. @param name lower case, without the trailing dot */
export function planName(name: string, type: number, zone: Zone): NamePlan {
  // Proxy discovery: a cluster must not decide the proxy of whoever connects to it.
  if (name === 'wpad' || name.startsWith('wpad.')) return { kind: 'absent' }
  if (endsWithin(name, 'localhost')) return { kind: 'loopback' }
  if (endsWithin(name, zone.clusterDomain)) return { kind: 'cluster', name }
  if (name.endsWith('.in-addr.arpa') || name.endsWith('.ip6.arpa')) return type === TYPE.ptr ? planReverse(name, zone) : { kind: 'host' }
  return name === '' ? { kind: 'host' } : planShort(name, zone)
}
