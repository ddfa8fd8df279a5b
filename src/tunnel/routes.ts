import { readFile } from 'node:fs/promises'
import { normalizeCidr } from '../base/cidr.ts'
import { type KernelRoute, readKernelRoutes } from '../base/kernel-routes.ts'
import { type IpCommand, runIpCommands } from './ip-command.ts'

/** The tunnel's device and its place in the namespace. */
export const DEVICE = 'tpx0'
/** Out of the benchmark range (RFC 2544), which nobody routes. */
export const ADDRESS4 = '198.18.0.1'
/** Out of the unique local range (RFC 4193). */
export const ADDRESS6 = 'fd00:7470::1'
/** Firewall mark of packets that stay in this machine, number of their routing table, and the rule's preference. */
export const MARK = 0x7470

// The largest packet that IPv4 knows: an app's datagrams and its segment size are not cut for a link that is not there.
const MTU = 65_535
const QUEUE_PACKETS = 10_000
/** Behind Docker's own routes: a subnet of the cluster that is also the container's network must not replace its route. */
const SUBNET_METRIC = 2000
/** Far behind: answers only while the device is away, so that nothing leaks to the developer's network. */
const GUARD_METRIC = 4_000_000

/** True when the device may carry IPv6. Docker switches it off in containers on networks without it. */
export async function hasIpv6(): Promise<boolean> {
  const files = [DEVICE, 'lo'].map((name) => readFile(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, 'latin1'))
  const values = await Promise.all(files).catch(() => ['1'])
  return values.every((value) => value.trim() === '0')
}

/**
 * Brings the device up with its addresses, and routes marked packets to this machine. May be run again and again.
 * @throws TpxError TUNNEL_FAILED when a command fails
 */
export async function configureDevice(options: { ipv6: boolean }): Promise<void> {
  const rule = { canFail: true, line: `rule add pref ${MARK} fwmark ${MARK} lookup ${MARK}` }
  const route = { line: `route replace local default dev lo table ${MARK}` }
  await Promise.all([
    runIpCommands(4, [
      { line: 'link set lo up' },
      { line: `link set ${DEVICE} mtu ${MTU} txqueuelen ${QUEUE_PACKETS} up` },
      { line: `addr replace ${ADDRESS4}/32 dev ${DEVICE}` },
      rule,
      route,
    ]),
    options.ipv6 ? runIpCommands(6, [{ line: `addr replace ${ADDRESS6}/128 dev ${DEVICE} nodad` }, rule, route]) : undefined,
  ])
}

/** The cluster's subnets in the namespace's routing table. */
export class SubnetRoutes {
  readonly #ipv6: boolean
  #current: string[] | undefined

  constructor(options: { ipv6: boolean }) {
    this.#ipv6 = options.ipv6
  }

  /**
   * Leads exactly these subnets to the device; each gets a guard route first. IPv6 is left out where the namespace has none.
   * @param cidrs e.g. "10.96.0.0/12"; bits behind the prefix are cleared
   * @returns those that lead to the device no longer
   * @throws TpxError TUNNEL_FAILED when the kernel refuses one
   */
  async set(cidrs: readonly string[]): Promise<string[]> {
    const wanted = [...new Set(cidrs.map(normalizeCidr))].filter((cidr) => this.#ipv6 || !cidr.includes(':'))
    const routes = await readKernelRoutes()
    // The first time there may be routes of a tunnel that ran here before.
    const current = (this.#current ??= ownSubnets(routes))
    const removed = current.filter((cidr) => !wanted.includes(cidr))
    const added = wanted.filter((cidr) => !current.includes(cidr))
    await runIpCommands(undefined, [...added.flatMap(addCommands), ...removed.flatMap(removeCommands)])
    this.#current = wanted
    return removed
  }
}

function addCommands(cidr: string): IpCommand[] {
  const source = cidr.includes(':') ? ADDRESS6 : ADDRESS4
  return [
    { line: `route replace unreachable ${cidr} metric ${GUARD_METRIC}` },
    { line: `route replace ${cidr} dev ${DEVICE} src ${source} metric ${SUBNET_METRIC}` },
  ]
}

function removeCommands(cidr: string): IpCommand[] {
  return [
    { canFail: true, line: `route del ${cidr} dev ${DEVICE} metric ${SUBNET_METRIC}` },
    { canFail: true, line: `route del unreachable ${cidr} metric ${GUARD_METRIC}` },
  ]
}

/** The subnets that lead to the device, also those that a tunnel before this one has left. */
export function ownSubnets(routes: readonly KernelRoute[]): string[] {
  const own = routes.filter(({ device, isUnreachable, metric }) =>
    isUnreachable ? metric === GUARD_METRIC : device === DEVICE && metric === SUBNET_METRIC,
  )
  return [...new Set(own.map(({ cidr }) => cidr))]
}
