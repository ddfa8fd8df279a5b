// Decides where packets go, without doing anything: pure, so that every case is a row in a test.
import { compareCidrs, contains, hostCidr, isCidr, normalizeCidr, overlaps, subtractCidr, withoutNested } from '../base/cidr.ts'
import { TpxError } from '../base/error.ts'
import type { ClientConfig } from '../wire/client-config.ts'
import type { HostNetwork, RoutingConflict, VirtualSubnet } from '../wire/control.ts'
import type { ClusterView } from './cluster-view.ts'
import { DEFAULT_VIRTUAL_SUBNET, singlesOf, VIRTUAL_SUBNET6, VirtualBlocks } from './virtual-blocks.ts'

/** A network that may stand in the way. `isOwn`: of the connection's containers, whose routes win over the tunnel's. */
export type ForeignNetwork = HostNetwork & { isOwn: boolean }

/** Everything that decides. */
export type PlanInput = {
  apiAddresses: readonly string[]
  /** What apps may have in use: a plan changes as little of it as it can. `direct`: subnets that led to the cluster so far. */
  before: { direct: readonly string[]; virtual: readonly VirtualSubnet[] }
  cluster: Pick<ClusterView, 'podSubnets' | 'serviceSubnets'>
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
  const also = config.alsoProxySubnets ?? []
  const groups = { also, pods: cluster.podSubnets, service: cluster.serviceSubnets }
  const subnets = usable(input, [...groups.service, ...groups.pods, ...also])
  const never = usable(input, config.neverProxySubnets ?? [])
  const api = usable(input, input.apiAddresses.map(hostCidr))
  const byUser = wantedByUser(input, groups)
  const { conflicts, toVirtual } = judge(input, { byUser, never: [...never, ...api], subnets })
  const conflicting = toVirtual.map((cidr) => ({ cidr, reason: 'conflict', workload: null }) as const)
  const virtual = assignBlocks(input, [...byUser, ...conflicting])
  const isVirtual = within(virtual)
  const direct = subnets.filter((cidr) => !isVirtual(cidr))
  const refusal = refusalOf(input, conflicts, { subnets, virtual })
  const pieces = direct.flatMap((cidr) => withoutNever(cidr, { also: usable(input, also), api, never }))
  return {
    conflicts,
    device: refusal ? [] : withoutNested([...pieces, ...virtual.map((one) => one.virtual)]),
    neverProxied: [...new Set([...api, ...never])].sort(compareCidrs),
    refusal,
    routed: refusal ? [] : withoutNested(direct),
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
  return [...new Map([...vnat, ...via].map((one) => [one.cidr, one])).values()]
}

/** Which subnets overlap with a foreign network, and what is done about it. */
function judge(
  input: PlanInput,
  { byUser, never, subnets }: { byUser: readonly Wanted[]; never: readonly string[]; subnets: readonly string[] },
): { conflicts: RoutingConflict[]; toVirtual: string[] } {
  const { before, config, networks } = input
  const conflicts: RoutingConflict[] = []
  const toVirtual = new Set<string>()
  const isUserWanted = within(byUser)
  const formerly = new Set(before.virtual.filter(({ reason }) => reason === 'conflict').map(({ cidr }) => cidr))
  for (const cidr of subnets) {
    if (isUserWanted(cidr)) continue
    // An app may have such an address in use: it stays, also when the reason has gone.
    const wasVirtual = formerly.has(cidr)
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

/** Tells whether a subnet lies within one of these; thousands of equal ones are told fast. */
function within(outer: readonly { cidr: string }[]): (cidr: string) => boolean {
  const same = new Set(outer.map(({ cidr }) => cidr))
  return (cidr) => same.has(cidr) || outer.some((one) => contains(one.cidr, cidr))
}

/** Where virtual addresses come from, by family. */
function poolsOf({ virtualSubnet }: PlanInput['config']): Record<4 | 6, string> {
  return { 4: normalizeCidr(virtualSubnet ?? DEFAULT_VIRTUAL_SUBNET), 6: VIRTUAL_SUBNET6 }
}

/** Gives each subnet a block of virtual addresses, the one that it had before where there is one. */
function assignBlocks({ before, config }: PlanInput, wanted: readonly Wanted[]): VirtualSubnet[] {
  const pools = poolsOf(config)
  const familyOf = (cidr: string): 4 | 6 => (cidr.includes(':') ? 6 : 4)
  const known = new Map(
    before.virtual.filter(({ cidr, virtual }) => contains(pools[familyOf(cidr)], virtual)).map((one) => [one.cidr, one]),
  )
  const used = [...known.values()].filter(({ isPrefix }) => isPrefix).map(({ virtual }) => virtual)
  const blocks = { 4: new VirtualBlocks(pools[4], used), 6: new VirtualBlocks(pools[6], used) }
  return wanted.map((one) => {
    const family = familyOf(one.cidr)
    const old = known.get(one.cidr)
    if (old) return { ...one, isPrefix: old.isPrefix, virtual: old.virtual }
    const block = blocks[family].take(one.cidr)
    return { ...one, isPrefix: block !== undefined, virtual: block ?? singlesOf(pools[family]) }
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
  { config, networks }: PlanInput,
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
  for (const pool of Object.values(poolsOf(config))) {
    const first = virtual.find((one) => contains(pool, one.virtual))
    const other = networks.find((network) => overlaps(network.cidr, pool))
    const cidr = other?.cidr ?? subnets.find((subnet) => overlaps(subnet, pool))
    if (!first || cidr === undefined) continue
    return new TpxError(
      'SUBNET_CONFLICT',
      `Subnet ${first.cidr} needs virtual addresses, but their range ${pool} overlaps with ${cidr} (${other?.name ?? 'of the cluster'})`,
      { hint: 'Choose another range with routing.virtualSubnet in config.yml' },
    )
  }
  return null
}
