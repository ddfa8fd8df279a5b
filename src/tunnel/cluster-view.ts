import type { ClientConfig } from '../wire/client-config.ts'
import type { ClusterInfo, IPNet } from '../wire/generated/manager_pb.ts'

/** What the manager says about the cluster, as the network and the DNS need it. */
export type ClusterView = {
  clusterDomain: string
  excludeSuffixes: string[]
  includeSuffixes: string[]
  podSubnets: string[]
  serviceSubnets: string[]
}

/** An address of 4 or 16 bytes as text, or undefined. IPv6 is written without `::`, which every reader takes. */
export function formatAddress(bytes: Uint8Array): string | undefined {
  if (bytes.length === 4) return bytes.join('.')
  if (bytes.length !== 16) return undefined
  const hex = Buffer.from(bytes).toString('hex')
  return [...hex.matchAll(/.{4}/g)].map(([group]) => group.replace(/^0{1,3}/, '')).join(':')
}

function formatNet(net: IPNet | undefined): string | undefined {
  const address = net && formatAddress(net.ip)
  return address && `${address}/${net.mask}`
}

/** `service_cidrs`: address bytes, then one byte of prefix length. Old managers put a bare address there (trap 1 of the protocol). */
function formatCidr(bytes: Uint8Array): string | undefined {
  const address = formatAddress(bytes.subarray(0, -1))
  return address && `${address}/${bytes.at(-1)}`
}

const present = (texts: (string | undefined)[]): string[] => [...new Set(texts.filter((text) => text !== undefined))]

/** Reads a ClusterInfo. @param defaultDomain where the manager does not name one */
export function clusterView(info: ClusterInfo, defaultDomain: string): ClusterView {
  const cidrs = present(info.serviceCidrs.map(formatCidr))
  return {
    clusterDomain: (info.dns?.clusterDomain || defaultDomain).replaceAll(/^\.|\.$/g, '').toLowerCase(),
    excludeSuffixes: info.dns?.excludeSuffixes ?? [],
    includeSuffixes: info.dns?.includeSuffixes ?? [],
    podSubnets: present(info.podSubnets.map(formatNet)),
    serviceSubnets: cidrs.length > 0 ? cidrs : present([formatNet(info.serviceSubnet)]),
  }
}

/** What a ClusterInfo says of a client's settings: the same as GetClientConfig, for Telepresence's clients before 2.21. */
export function clientConfigOf({ dns, routing }: ClusterInfo): ClientConfig {
  const suffixes = { excludeSuffixes: dns?.excludeSuffixes ?? [], includeSuffixes: dns?.includeSuffixes ?? [] }
  const subnets = {
    allowConflictingSubnets: present((routing?.allowConflictingSubnets ?? []).map(formatNet)),
    alsoProxySubnets: present((routing?.alsoProxySubnets ?? []).map(formatNet)),
    neverProxySubnets: present((routing?.neverProxySubnets ?? []).map(formatNet)),
  }
  return { ...sectionOf('dns', suffixes), ...sectionOf('routing', subnets) }
}

/** What is said of a section; an empty list says nothing. */
function sectionOf(name: string, lists: Record<string, string[]>): ClientConfig {
  const said = Object.entries(lists).filter(([, list]) => list.length > 0)
  return said.length > 0 ? { [name]: Object.fromEntries(said) } : {}
}
