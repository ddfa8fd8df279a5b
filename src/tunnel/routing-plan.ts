// Decides where packets go, without doing anything: pure, so that every case is a row in a test.
import { compareCidrs, contains, hostCidr, isCidr, normalizeCidr, overlaps, subtractCidr, withoutNested } from '../base/cidr.ts'
import { TpxError } from '../base/error.ts'
import type { ClientConfig } from '../wire/client-config.ts'
import type { HostNetwork, RoutingConflict, VirtualSubnet } from '../wire/control.ts'
import type { ClusterView } from './cluster-view.ts'
import { DEFAULT_VIRTUAL_SUBNET, findBlock, singlesOf, VIRTUAL_SUBNET6 } from './virtual-blocks.ts'

/** A network that may stand in the way. `isOwn`: of the connection's containers, whose routes win over the tunnel's. */
export type ForeignNetwork = HostNetwork & { isOwn: boolean }

/** Everything that decides. */
export type PlanInput = {
  apiAddresses: readonly string[]
  /** What apps may have in use: a plan changes as little of it as it can. `direct`: subnets that led to the cluster so far. */
  before: { direct: readonly string[]; virtual: readonly VirtualSubnet[] }
  cluster: Pick<ClusterView, 'alsoProxySubnets' | 'podSubnets' | 'serviceSubnets'>
  config: NonNullable<ClientConfig['routing']>
  /** Whether the namespace has IPv6. */
  ipv6: boolean
  networks: readonly ForeignNetwork[]
}

/** What follows. */
export type RoutingPlan = {
  conflicts: RoutingConflict[]
  /** The routes to the tunnel's device. */
  device: string[]
  neverProxied: string[]
  /** Why nothing may be routed. */
  refusal: TpxError | null
  /** Subnets that lead to the cluster under their own addresses. */
  routed: string[]
  virtual: VirtualSubnet[]
}

/** Names that stand for subnets in `--vnat` and `--proxy-via`. */
export const SUBNET_SYMBOLS = ['all', 'also', 'pods', 'service'] as const

type Wanted = Pick<VirtualSubnet, 'cidr' | 'reason' | 'workload'>

/** Plans the routes. Never throws: what cannot be is the plan's `refusal`. */
export function planRouting(input: PlanInput): RoutingPlan {
  try {
    return makePlan(input)
  } catch (error) {
    const refusal = error instanceof TpxError ? error : new TpxError('USAGE', String(error), { cause: error })
    return { conflicts: [], device: [], neverProxied: [], refusal, routed: [], virtual: [] }
  }
}

function makePlan(input: PlanInput): RoutingPlan {
  const { cluster, config } = input
  const also = [...cluster.alsoProxySubnets, ...(config.alsoProxySubnets ?? [])]
  const groups = { also, pods: cluster.podSubnets, service: cluster.serviceSubnets }
  const subnets = usable(input, [...groups.service, ...groups.pods, ...also])
  const never = usable(input, config.neverProxySubnets ?? [])
  const api = usable(input, input.apiAddresses.map(hostCidr))
  const byUser = wantedByUser(input, groups)
  const { conflicts, toVirtual } = judge(input, { byUser, never: [...never, ...api], subnets })
  const conflicting = toVirtual.map((cidr) => ({ cidr, reason: 'conflict', workload: null }) as const)
  const virtual = assignBlocks(input, [...byUser, ...conflicting])
  const isVirtual = (cidr: string): boolean => virtual.some((one) => contains(one.cidr, cidr))
  const direct = subnets.filter((cidr) => !isVirtual(cidr))
  const refusal = refusalOf(input, conflicts, { subnets, virtual })
  const pieces = direct.flatMap((cidr) => withoutNever(cidr, { also: usable(input, also), api, never }))
  return {
    conflicts,
    device: refusal ? [] : withoutNested([...pieces, ...virtual.map((one) => one.virtual)]).sort(compareCidrs),
    neverProxied: [...new Set([...api, ...never])].sort(compareCidrs),
    refusal,
    routed: refusal ? [] : withoutNested(direct).sort(compareCidrs),
    virtual,
  }
}

/** Normalized, each once, and only families that the namespace has. @throws TpxError USAGE for what is no CIDR */
function usable({ ipv6 }: PlanInput, cidrs: readonly string[]): string[] {
  const bad = cidrs.find((cidr) => !isCidr(cidr))
  if (bad !== undefined) throw new TpxError('USAGE', `"${bad}" is no subnet in CIDR notation`, { hint: 'Write it like 10.0.0.0/8' })
  return [...new Set(cidrs.map(normalizeCidr))].filter((cidr) => ipv6 || !cidr.includes(':'))
}

function wantedByUser(input: PlanInput, groups: Record<'also' | 'pods' | 'service', readonly string[]>): Wanted[] {
  const expand = (text: string): string[] => {
    if (text === 'all') return usable(input, [...groups.service, ...groups.pods, ...groups.also])
    return usable(input, text === 'also' || text === 'pods' || text === 'service' ? groups[text] : [text])
  }
  const via = (input.config.proxyVia ?? []).flatMap(({ cidr, workload }) =>
    expand(cidr).map((one) => ({ cidr: one, reason: 'proxy-via' as const, workload })),
  )
  const vnat = (input.config.vnat ?? []).flatMap(expand).map((cidr) => ({ cidr, reason: 'vnat' as const, workload: null }))
  // Of two that name the same subnet, the one with a workload says more.
  return [...via, ...vnat.filter(({ cidr }) => !via.some((one) => one.cidr === cidr))]
}

/** Which subnets overlap with a foreign network, and what is done about it. */
function judge(
  input: PlanInput,
  { byUser, never, subnets }: { byUser: readonly Wanted[]; never: readonly string[]; subnets: readonly string[] },
): { conflicts: RoutingConflict[]; toVirtual: string[] } {
  const { before, config, networks } = input
  const conflicts: RoutingConflict[] = []
  const toVirtual = new Set<string>()
  for (const cidr of subnets) {
    if (byUser.some((wanted) => contains(wanted.cidr, cidr))) continue
    // An app may have such an address in use: it stays, also when the reason has gone.
    const wasVirtual = before.virtual.some((one) => one.cidr === cidr && one.reason === 'conflict')
    if (wasVirtual) toVirtual.add(cidr)
    for (const { isOwn, ...network } of networks.filter((one) => overlaps(one.cidr, cidr))) {
      const shared = contains(cidr, network.cidr) ? normalizeCidr(network.cidr) : cidr
      if (never.some((one) => contains(one, shared))) continue
      const allowed = (config.allowConflictingSubnets ?? []).some((one) => contains(one, shared))
      const isInUse = !isOwn && before.direct.some((one) => overlaps(one, cidr))
      const resolution = resolutionOf({ allowed, isAuto: config.autoResolveConflicts ?? true, isInUse, wasVirtual })
      conflicts.push({ cidr, network, resolution })
      if (resolution === 'virtual') toVirtual.add(cidr)
    }
  }
  return { conflicts, toVirtual: [...toVirtual] }
}

function resolutionOf(facts: { allowed: boolean; isAuto: boolean; isInUse: boolean; wasVirtual: boolean }): RoutingConflict['resolution'] {
  if (facts.wasVirtual) return 'virtual'
  if (facts.allowed) return 'allowed'
  if (facts.isInUse) return 'kept'
  return facts.isAuto ? 'virtual' : 'refused'
}

/** Gives each subnet a block of virtual addresses, the one that it had before where there is one. */
function assignBlocks({ before, config }: PlanInput, wanted: readonly Wanted[]): VirtualSubnet[] {
  const pool4 = normalizeCidr(config.virtualSubnet ?? DEFAULT_VIRTUAL_SUBNET)
  const known = (one: Wanted): VirtualSubnet | undefined => {
    const pool = one.cidr.includes(':') ? VIRTUAL_SUBNET6 : pool4
    return before.virtual.find(({ cidr, virtual }) => cidr === one.cidr && contains(pool, virtual))
  }
  const used = wanted.flatMap((one) => known(one)?.virtual ?? [])
  return wanted.map((one) => {
    const pool = one.cidr.includes(':') ? VIRTUAL_SUBNET6 : pool4
    const old = known(one)
    if (old) return { ...one, isPrefix: old.isPrefix, virtual: old.virtual }
    const block = findBlock(pool, one.cidr, used)
    if (block) used.push(block)
    return { ...one, isPrefix: block !== undefined, virtual: block ?? singlesOf(pool) }
  })
}

/**
 * A subnet without what is never proxied. Of an also-proxied and a never-proxied subnet the narrower one decides, as with Telepresence;
 * the API server's addresses always stay outside.
 */
function withoutNever(cidr: string, { also, api, never }: { also: string[]; api: string[]; never: string[] }): string[] {
  const isNarrower = (hole: string): boolean => also.includes(cidr) && hole !== cidr && contains(hole, cidr)
  const holes = [...never.filter((hole) => !isNarrower(hole)), ...api]
  return holes.reduce((pieces, hole) => pieces.flatMap((piece) => subtractCidr(piece, hole)), [cidr])
}

function refusalOf(
  { networks }: PlanInput,
  conflicts: readonly RoutingConflict[],
  { subnets, virtual }: { subnets: readonly string[]; virtual: readonly VirtualSubnet[] },
): TpxError | null {
  const refused = conflicts.find(({ resolution }) => resolution === 'refused')
  if (refused) {
    const { cidr, network } = refused
    return new TpxError('SUBNET_CONFLICT', `Subnet ${cidr} of the cluster overlaps with ${network.cidr} (${network.name})`, {
      hint: `Let the cluster win with --allow-conflicting-subnets ${cidr}, use virtual addresses with --vnat ${cidr}, or leave it out with --never-proxy ${cidr}`,
    })
  }
  for (const one of virtual) {
    const other = networks.find((network) => overlaps(network.cidr, one.virtual))
    const cidr = other?.cidr ?? subnets.find((subnet) => overlaps(subnet, one.virtual))
    if (cidr === undefined) continue
    return new TpxError(
      'SUBNET_CONFLICT',
      `Subnet ${one.cidr} needs virtual addresses, but ${one.virtual} overlaps with ${cidr} (${other?.name ?? 'of the cluster'})`,
      { hint: 'Choose another range with routing.virtualSubnet in config.yml' },
    )
  }
  return null
}
