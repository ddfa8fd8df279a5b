import type { RoutingStatus, VirtualSubnet } from '../wire/control.ts'
import { describeConflict } from '../wire/describe-conflict.ts'

/** Clusters have thousands of subnets. */
const MOST_SHOWN = 8

function list(items: readonly string[]): string {
  const more = items.length - MOST_SHOWN
  return more > 0 ? `${items.slice(0, MOST_SHOWN).join(', ')} and ${more} more` : items.join(', ')
}

function describeVirtual({ cidr, virtual, workload }: VirtualSubnet): string {
  return `${cidr} as ${virtual}${workload === null ? '' : ` through "${workload}"`}`
}

/** What `status` says of the routes of a connection; a tunnel of another version may say nothing. */
export function routingLines(routing: RoutingStatus | undefined): string[] {
  if (!routing) return []
  const { conflicts, neverProxied, notes, routed, virtual } = routing
  const overlaps = conflicts.map((conflict) => describeConflict(conflict, virtual))
  return [
    ...(routed.length > 0 ? [`subnets: ${list(routed)}`] : []),
    ...(virtual.length > 0 ? [`virtual: ${list(virtual.map(describeVirtual))}`] : []),
    ...(neverProxied.length > 0 ? [`never proxied: ${list(neverProxied)}`] : []),
    ...overlaps.slice(0, MOST_SHOWN),
    ...notes,
  ]
}
