import ipaddr from 'ipaddr.js'
import { addressBytes, addressText } from '../wire/connection-id.ts'

/** A block of addresses: 4 or 16 bytes with all host bits zero, and the length of the prefix. */
export type Subnet = { bytes: Buffer; prefix: number }

/** Addresses outside all known blocks are covered by blocks of this size (IPv4, IPv6). */
const COVER_PREFIX = { 4: 24, 16: 64 } as const

/** Reads a CIDR; undefined when it is none. Host bits are cleared. */
export function parseSubnet(cidr: string): Subnet | undefined {
  if (!ipaddr.isValidCIDR(cidr)) return undefined
  const [address, prefix] = ipaddr.parseCIDR(cidr)
  return masked(Buffer.from(address.toByteArray()), prefix)
}

/** The text of a CIDR, canonical. */
export function formatSubnet({ bytes, prefix }: Subnet): string {
  return `${addressText(bytes)}/${prefix}`
}

function masked(bytes: Buffer, prefix: number): Subnet {
  const cleared = Buffer.from(bytes)
  for (let at = 0; at < cleared.length; at++) {
    const kept = Math.min(8, Math.max(0, prefix - 8 * at))
    cleared[at] = cleared[at]! & (0xff00 >> kept)
  }
  return { bytes: cleared, prefix }
}

/** Tells whether an address (4 or 16 bytes) lies in a block. */
export function contains(subnet: Subnet, address: Buffer): boolean {
  return address.length === subnet.bytes.length && masked(address, subnet.prefix).bytes.equals(subnet.bytes)
}

/** The block around an address; undefined when one of `known` has it already. @param prefix lengths by number of address bytes */
export function coverAddress(address: string, known: Subnet[], prefix: Record<4 | 16, number> = COVER_PREFIX): Subnet | undefined {
  const bytes = addressBytes(address)
  if (known.some((subnet) => contains(subnet, bytes))) return undefined
  return masked(bytes, prefix[bytes.length as 4 | 16])
}
