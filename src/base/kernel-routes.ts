// The kernel's routing tables as /proc shows them: one read instead of a subprocess.
import { readFile } from 'node:fs/promises'
import ipaddr from 'ipaddr.js'

/** A route of the network namespace. Addresses in text; guards have no device of their own. */
export type KernelRoute = { cidr: string; device: string; isUnreachable: boolean; metric: number }

// linux/route.h; a reject route of IPv6 does not count as up.
const RTF_UP = 0x0001
const RTF_REJECT = 0x0200

/** All unicast routes of the main tables. IPv6 is empty where the namespace has none. */
export async function readKernelRoutes(): Promise<KernelRoute[]> {
  const [ipv4, ipv6] = await Promise.all([
    readFile('/proc/net/route', 'latin1'),
    readFile('/proc/net/ipv6_route', 'latin1').catch(() => ''),
  ])
  return [...parseIpv4Routes(ipv4), ...parseIpv6Routes(ipv6)]
}

/** Text of /proc/net/route: Iface Destination Gateway Flags RefCnt Use Metric Mask …; addresses are hexadecimal in host order. */
export function parseIpv4Routes(table: string): KernelRoute[] {
  return table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [device, destination, , flags, , , metric, mask] = line.trim().split(/\s+/)
      if (!device || !destination || !flags || !metric || !mask || !(Number.parseInt(flags, 16) & (RTF_UP | RTF_REJECT))) return []
      const cidr = `${addressText(hostOrder(destination))}/${prefixLength(hostOrder(mask))}`
      return [{ cidr, device, isUnreachable: (Number.parseInt(flags, 16) & RTF_REJECT) !== 0, metric: Number(metric) }]
    })
}

/** Text of /proc/net/ipv6_route: destination, prefix length, source, its length, gateway, metric, …, flags, device; in hexadecimal. */
export function parseIpv6Routes(table: string): KernelRoute[] {
  return table.split('\n').flatMap((line) => {
    const [destination, prefix, , , , metric, , , flags, device] = line.trim().split(/\s+/)
    if (!device || !destination || !flags || !metric || !prefix || !(Number.parseInt(flags, 16) & (RTF_UP | RTF_REJECT))) return []
    const cidr = `${addressText(Buffer.from(destination, 'hex'))}/${Number.parseInt(prefix, 16)}`
    return [{ cidr, device, isUnreachable: (Number.parseInt(flags, 16) & RTF_REJECT) !== 0, metric: Number.parseInt(metric, 16) }]
  })
}

function hostOrder(hex: string): Uint8Array {
  return new Uint8Array(Uint32Array.of(Number.parseInt(hex, 16)).buffer)
}

function prefixLength(mask: Uint8Array): number {
  return [...mask].reduce((sum, byte) => sum + (byte.toString(2).match(/1/g)?.length ?? 0), 0)
}

function addressText(bytes: Uint8Array): string {
  return ipaddr.fromByteArray([...bytes]).toString()
}
