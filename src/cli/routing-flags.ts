import { Flags } from '@oclif/core'
import { isCidr, normalizeCidr } from '../base/cidr.ts'
import { TpxError } from '../base/error.ts'
import type { ClientConfig } from '../wire/client-config.ts'

/** Names that stand for subnets of the cluster. */
const SYMBOLS = new Set(['all', 'also', 'pods', 'service'])
/** A DNS label (RFC 1123), as Kubernetes wants names of workloads; dots may be in them. */
const WORKLOAD = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/

/** Which subnets lead to the cluster, and how. Names are Telepresence's. */
export const routingFlags = {
  'allow-conflicting-subnets': Flags.string({
    description: 'Subnet that may overlap with a network of this machine: in the connection it means the cluster. Repeatable.',
    helpGroup: 'ROUTING',
    helpValue: 'CIDR',
    multiple: true,
    multipleNonGreedy: true,
    delimiter: ',',
  }),
  'also-proxy': Flags.string({
    description: 'Further subnet that leads to the cluster. Repeatable.',
    helpGroup: 'ROUTING',
    helpValue: 'CIDR',
    multiple: true,
    multipleNonGreedy: true,
    delimiter: ',',
  }),
  'never-proxy': Flags.string({
    description: 'Subnet that never leads to the cluster; the API server never does. Repeatable.',
    helpGroup: 'ROUTING',
    helpValue: 'CIDR',
    multiple: true,
    multipleNonGreedy: true,
    delimiter: ',',
  }),
  'proxy-via': Flags.string({
    description: 'Subnet (or service, pods, also, all) that is reached through a Pod of a workload, under virtual addresses. Repeatable.',
    helpGroup: 'ROUTING',
    helpValue: 'CIDR=WORKLOAD',
    multiple: true,
    multipleNonGreedy: true,
    delimiter: ',',
  }),
  vnat: Flags.string({
    description: 'Subnet (or service, pods, also, all) that is reached under virtual addresses. Repeatable.',
    helpGroup: 'ROUTING',
    helpValue: 'CIDR',
    multiple: true,
    multipleNonGreedy: true,
    delimiter: ',',
  }),
}

/** What those flags were given. */
export type RoutingFlagValues = { [name in keyof typeof routingFlags]?: string[] | undefined }

/**
 * The settings that the flags ask for; empty without any.
 * @throws TpxError USAGE that names the flag
 */
export function routingConfig(flags: RoutingFlagValues): ClientConfig {
  const cidrs = (name: keyof typeof routingFlags, symbols = new Set<string>()): string[] | undefined =>
    flags[name]?.map((text) => parseSubnet(name, text, symbols))
  const routing = {
    allowConflictingSubnets: cidrs('allow-conflicting-subnets'),
    alsoProxySubnets: cidrs('also-proxy'),
    neverProxySubnets: cidrs('never-proxy'),
    proxyVia: flags['proxy-via']?.map(parseProxyVia),
    vnat: cidrs('vnat', SYMBOLS),
  }
  const given = Object.entries(routing).filter(([, value]) => value !== undefined)
  return given.length > 0 ? { routing: Object.fromEntries(given) } : {}
}

function parseSubnet(flag: string, text: string, symbols: ReadonlySet<string>): string {
  if (symbols.has(text)) return text
  if (isCidr(text)) return normalizeCidr(text)
  const others = symbols.size > 0 ? `, or one of ${[...symbols].join(', ')}` : ''
  throw new TpxError('USAGE', `--${flag} wants a subnet in CIDR notation${others}, not "${text}"`, {
    hint: isCidr(`${text}/32`) ? `For one address write ${text}/${text.includes(':') ? 128 : 32}` : `For example --${flag} 10.20.0.0/16`,
  })
}

function parseProxyVia(text: string): { cidr: string; workload: string } {
  const at = text.lastIndexOf('=')
  const workload = text.slice(at + 1)
  if (at < 0 || !WORKLOAD.test(workload))
    throw new TpxError('USAGE', `--proxy-via wants CIDR=WORKLOAD, not "${text}"`, { hint: 'For example --proxy-via 10.20.0.0/16=web-app' })
  return { cidr: parseSubnet('proxy-via', text.slice(0, at), SYMBOLS), workload }
}
