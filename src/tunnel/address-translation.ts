// Where real addresses become virtual ones on their way to an app: DNS answers, reverse names, and literals in an environment.
import { isAddress } from '../base/cidr.ts'
import { TYPE } from '../dns/codes.ts'
import { reverseAddress } from '../dns/name-plan.ts'
import { encodeName, recordAt } from '../dns/records.ts'
import type { ClusterAnswer } from '../dns/resolver.ts'
import { formatAddress, parseAddress } from '../netstack/ip-address.ts'
import type { DnsMapping } from '../wire/client-config.ts'
import type { VirtualAddresses } from './virtual-addresses.ts'

/** Puts virtual addresses into A and AAAA records. @param records uncompressed, one after the other; not changed */
export function translateRecords(records: Buffer, toVirtual: (real: string) => string | undefined): Buffer {
  const result = Buffer.from(records)
  for (let at = 0; at < result.length;) {
    const { dataOffset, end, type } = recordAt(result, at)
    const length = end - dataOffset
    if ((type === TYPE.a && length === 4) || (type === TYPE.aaaa && length === 16)) {
      const virtual = toVirtual(formatAddress(result.subarray(dataOffset, end)))
      const bytes = virtual === undefined ? undefined : parseAddress(virtual)
      if (bytes?.length === length) result.set(bytes, dataOffset)
    }
    at = end
  }
  return result
}

/** The reverse name of an address, without the trailing dot (RFC 1035 §3.5, RFC 3596 §2.5). */
export function reverseName(address: string): string {
  if (!address.includes(':')) return `${address.split('.').toReversed().join('.')}.in-addr.arpa`
  const digits = Buffer.from(parseAddress(address) ?? []).toString('hex')
  return `${digits.split('').toReversed().join('.')}.ip6.arpa`
}

/**
 * Asks the cluster with real addresses and answers with virtual ones.
 * @param name fully qualified, with the trailing dot
 */
export async function lookupTranslated(
  addresses: VirtualAddresses,
  { lookup, name, type }: { lookup: (name: string, type: number) => Promise<ClusterAnswer>; name: string; type: number },
): Promise<ClusterAnswer> {
  const virtual = type === TYPE.ptr ? reverseAddress(name.replace(/\.$/, '').toLowerCase()) : undefined
  const real = virtual === undefined ? undefined : addresses.toReal(formatAddress(parseAddress(virtual) ?? new Uint8Array(4)))
  if (real) {
    const { rcode, records } = await lookup(`${reverseName(real.address)}.`, type)
    return { rcode, records: withOwner(records, { from: reverseName(real.address), to: name }) }
  }

  const { rcode, records } = await lookup(name, type)
  return { rcode, records: translateRecords(records, (address) => addresses.toVirtual(address)) }
}

/** Gives records of one name to another one. */
function withOwner(records: Buffer, { from, to }: { from: string; to: string }): Buffer {
  const old = encodeName(from).toString('latin1').toLowerCase()
  const parts: Buffer[] = []
  for (let at = 0; at < records.length;) {
    const { end, ttlOffset } = recordAt(records, at)
    const name = records.subarray(at, ttlOffset - 4)
    parts.push(name.toString('latin1').toLowerCase() === old ? encodeName(to) : name, records.subarray(ttlOffset - 4, end))
    at = end
  }
  return Buffer.concat(parts)
}

/** A name that stands for an address must lead to where the app finds it. */
export function translateMapping(mapping: DnsMapping, addresses: Pick<VirtualAddresses, 'toVirtual'>): DnsMapping {
  const { aliasFor } = mapping
  const bytes = isAddress(aliasFor) ? parseAddress(aliasFor) : undefined
  return { ...mapping, aliasFor: (bytes && addresses.toVirtual(formatAddress(bytes))) ?? aliasFor }
}

/** Whole addresses: not a part of a longer number or name, and not a subnet such as in NO_PROXY. */
const LITERALS = /(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}(?![\w/]|\.\w)|[\da-fA-F]{0,4}(?::[\da-fA-F]{0,4}){2,7}(?![\w/:.]))/g

/** Replaces the addresses that an app of the connection knows under others, e.g. in WEB_APP_SERVICE_HOST. */
export function translateLiterals(
  environment: Readonly<Record<string, string>>,
  toVirtual: (real: string) => string | undefined,
): Record<string, string> {
  const replace = (text: string): string => {
    const bytes = isAddress(text) ? parseAddress(text) : undefined
    return (bytes && toVirtual(formatAddress(bytes))) ?? text
  }
  return Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, value.replaceAll(LITERALS, replace)]))
}
