import { formatAddress, parseAddress } from '../netstack/ip-address.ts'
import type { Destination } from './dialer.ts'

/** The 4-tuple of a flow as one string: the same from a packet and from a socket. */
export function flowKey(source: Destination, destination: Destination): string {
  return `${source.address} ${source.port} ${destination.address} ${destination.port}`
}

/** The address as packets write it; Node writes IPv4-mapped addresses in another way and adds a zone to link-local ones. */
export function canonicalAddress(text: string): string {
  if (!text.includes(':')) return text
  const bytes = parseAddress(text.split('%')[0] ?? '')
  return bytes ? formatAddress(bytes) : text
}
