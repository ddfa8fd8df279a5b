// Keeps the routes in step with what decides about them: the cluster's subnets, the user's settings, the networks of the host and
// of the containers. routing-plan.ts decides; this file collects, applies and reports.
import { messageOf, type TpxError } from '../base/error.ts'
import { readKernelRoutes } from '../base/kernel-routes.ts'
import type { Logger } from '../base/logger.ts'
import type { HostFacts, RoutingConflict, RoutingStatus, TunnelSnapshot } from '../wire/control.ts'
import type { ClientSettings } from './client-settings.ts'
import type { ClusterView } from './cluster-view.ts'
import type { ManagerSession } from './manager-session.ts'
import type { Network } from './network.ts'
import { watchOwnNetworks } from './own-networks.ts'
import { ownSubnets } from './routes.ts'
import { type ForeignNetwork, planRouting, type RoutingPlan } from './routing-plan.ts'
import { VirtualAddresses } from './virtual-addresses.ts'

type Options = {
  client: ClientSettings
  logger: Logger
  manager: Pick<ManagerSession, 'state'>
  /** Called when addresses that the DNS has given out may mean something else now. */
  onRenumbered: () => void
  /** Called whenever routes were set, or refused with the reason. */
  onSettled: (refusal: TpxError | null) => void
  /** Called with the workloads whose agents dial for some subnet. */
  onWorkloads: (workloads: string[]) => void
  /** For tests. */
  watchNetworks?: typeof watchOwnNetworks
}

const PING_NOTES: Record<string, string> = {
  EACCES: 'Pings are not carried: the Pod that dials may not send any (sysctl net.ipv4.ping_group_range)',
  EPERM: 'Pings are not carried: the Pod that dials may not send any',
  EPROTONOSUPPORT: 'Pings are not carried: the traffic-manager is older than this tpx',
}

/** Which addresses lead to the cluster, and under which others they are known. */
export class Routing {
  readonly addresses = new VirtualAddresses()
  readonly #options: Options
  readonly #notes = new Map<string, string>()
  #applied = ''
  #seen: unknown[] = []
  #direct: string[] = []
  #host: HostFacts = { apiAddresses: [], networks: [] }
  #network: Network | undefined
  #networks: ForeignNetwork[] = []
  #plan: RoutingPlan = { conflicts: [], device: [], neverProxied: [], refusal: null, routed: [], virtual: [] }
  #running: Promise<unknown> = Promise.resolve()

  constructor(options: Options) {
    this.#options = options
    options.manager.state.onChange(() => this.#update())
    options.client.onChange(() => this.#update())
  }

  /** Begins to set routes in this network, until the signal aborts. */
  async start(network: Network, signal: AbortSignal): Promise<void> {
    // What a tunnel before this one has left is in use.
    this.#direct = ownSubnets(await readKernelRoutes())
    const first = Promise.withResolvers<void>()
    const { watchNetworks = watchOwnNetworks } = this.#options
    void watchNetworks((networks) => {
      this.#networks = networks
      // Not before: the first routes must be the right ones.
      this.#network = network
      first.resolve()
      this.#update()
    }, signal)
    await first.promise
  }

  /** What the link knows of its host. */
  setHost(facts: HostFacts): void {
    this.#host = facts
    this.#update()
  }

  /** Takes over what a tunnel before this one gave out. Before the session begins. */
  resume(virtual: TunnelSnapshot['virtual']): void {
    if (!virtual) return
    this.#plan = { ...this.#plan, virtual: virtual.subnets }
    this.addresses.configure(virtual.subnets, [])
    this.addresses.restore(virtual.addresses)
  }

  snapshot(): NonNullable<TunnelSnapshot['virtual']> {
    return { addresses: this.addresses.entries(), subnets: this.#plan.virtual }
  }

  status(): RoutingStatus {
    const { conflicts, neverProxied, routed, virtual } = this.#plan
    return { conflicts, neverProxied, notes: [...this.#notes.values()], routed, virtual }
  }

  /** Subnets whose reverse names the cluster knows. */
  reverseSubnets(): string[] {
    return [...this.#plan.routed, ...this.#plan.virtual.map(({ virtual }) => virtual)]
  }

  /** Notes once why pings come to nothing. */
  notePing(code: string): void {
    const note = PING_NOTES[code] ?? `Pings are not carried: ${code}`
    if (this.#notes.get('ping') !== note) this.#options.logger.warn(note)
    this.#notes.set('ping', note)
  }

  #update(): void {
    const { cluster } = this.#options.manager.state.value
    if (!cluster || !this.#network) return
    const network = this.#network
    // Most changes of the session have nothing to do with routes.
    const inputs = [cluster, this.#options.client.value, this.#host, this.#networks]
    if (inputs.every((one, index) => one === this.#seen[index])) return
    this.#seen = inputs
    this.#running = this.#running.then(() => this.#apply(cluster, network))
  }

  async #apply(cluster: ClusterView, network: Network): Promise<void> {
    const { client, logger, onRenumbered, onSettled, onWorkloads } = this.#options
    const plan = planRouting({
      apiAddresses: this.#host.apiAddresses,
      before: { direct: this.#direct, virtual: this.#plan.virtual },
      cluster,
      config: client.value.routing ?? {},
      ipv6: network.hasIpv6,
      networks: [...this.#networks, ...this.#host.networks.map((one) => ({ ...one, isOwn: false }))],
    })
    const text = JSON.stringify(plan)
    if (text === this.#applied) return
    const news = plan.conflicts.filter((one) => !this.#plan.conflicts.some((known) => sameConflict(one, known)))
    for (const { cidr, network: other, resolution } of news)
      logger.warn({ resolution, subnet: cidr }, `subnet of the cluster overlaps with ${other.cidr} (${other.name})`)
    const isRenumbered = numbersOf(plan) !== numbersOf(this.#plan)
    // A refusal changes nothing of what works already.
    if (plan.refusal && this.#direct.length > 0) this.#plan = { ...this.#plan, conflicts: plan.conflicts }
    else this.#plan = plan
    if (plan.refusal) {
      this.#applied = text
      logger.error(plan.refusal.message)
      return void onSettled(plan.refusal)
    }
    this.addresses.configure(plan.virtual, plan.neverProxied)
    onWorkloads([...new Set(plan.virtual.flatMap(({ workload }) => workload ?? []))])
    try {
      await network.setSubnets(plan.device)
      this.#applied = text
      this.#direct = plan.routed
      logger.info({ subnets: plan.device }, 'the cluster is routed')
      onSettled(null)
    } catch (error) {
      this.#applied = ''
      this.#seen = []
      logger.error(`routes could not be set: ${messageOf(error)}`)
    }
    if (isRenumbered) onRenumbered()
  }
}

function sameConflict(a: RoutingConflict, b: RoutingConflict): boolean {
  return a.cidr === b.cidr && a.network.cidr === b.network.cidr && a.resolution === b.resolution
}

/** Everything that decides what an address in a DNS answer means. */
function numbersOf({ neverProxied, virtual }: RoutingPlan): string {
  return JSON.stringify([virtual, virtual.length > 0 ? neverProxied : []])
}
