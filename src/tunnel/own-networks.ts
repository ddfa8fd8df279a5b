import { setTimeout as sleep } from 'node:timers/promises'
import { overlaps, withoutNested } from '../base/cidr.ts'
import { type KernelRoute, readKernelRoutes } from '../base/kernel-routes.ts'
import { DEVICE } from './routes.ts'
import type { ForeignNetwork } from './routing-plan.ts'

/** A network that `docker network connect` adds is noticed within this time. The tables are two small files in memory. */
const POLL_MS = 2000
/** Never lead anywhere else: loopback, link-local and multicast. */
const NOT_NETWORKS = ['127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '::1/128', 'fe80::/10', 'ff00::/8']

/** The container networks of a namespace, from its routes: not the default route, and not what is the tunnel's own. */
export function ownNetworks(routes: readonly KernelRoute[]): ForeignNetwork[] {
  const foreign = routes.filter(
    ({ cidr, device, isUnreachable }) =>
      !isUnreachable &&
      device !== DEVICE &&
      device !== 'lo' &&
      !/\/[01]$/.test(cidr) &&
      !NOT_NETWORKS.some((other) => overlaps(other, cidr)),
  )
  return withoutNested(foreign.map(({ cidr }) => cidr)).map((cidr) => ({
    cidr,
    isOwn: true,
    name: `a Docker network of the connection, ${foreign.find((route) => route.cidr === cidr)?.device ?? ''}`,
  }))
}

/** Tells the networks of this namespace at once and whenever they change, until the signal aborts. */
export async function watchOwnNetworks(onChange: (networks: ForeignNetwork[]) => void, signal: AbortSignal): Promise<void> {
  let last = ''
  while (!signal.aborted) {
    const networks = ownNetworks(await readKernelRoutes().catch(() => []))
    const text = JSON.stringify(networks)
    if (text !== last) onChange(networks)
    last = text
    await sleep(POLL_MS, undefined, { ref: false, signal }).catch(() => {})
  }
}
