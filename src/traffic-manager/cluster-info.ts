import { create } from '@bufbuild/protobuf'
import type { Logger } from '../base/logger.ts'
import { keepTrying } from '../base/retry.ts'
import type { ClientConfig } from '../wire/client-config.ts'
import { addressBytes } from '../wire/connection-id.ts'
import { type ClusterInfo, ClusterInfoSchema, DNSSchema, type IPNet, IPNetSchema, RoutingSchema } from '../wire/generated/manager_pb.ts'
import { MANAGER_API_PORT } from '../wire/versions.ts'
import { Changes } from './changes.ts'
import type { Kubernetes } from './kubernetes-api.ts'
import { type KubernetesObject, ObjectStore } from './object-store.ts'
import { findServiceCidrs } from './service-cidrs.ts'
import { coverAddress, formatSubnet, parseSubnet, type Subnet } from './subnets.ts'

type Node = KubernetesObject & { spec?: { podCIDR?: string; podCIDRs?: string[] } }
type Pod = KubernetesObject & { spec?: { hostNetwork?: boolean }; status?: { podIPs?: { ip: string }[] } }

/** What clients are given as defaults, and when it changes. */
export type ClientDefaults = { readonly changes: Changes; readonly config: ClientConfig }

/** What does not change while the program runs. */
export type ClusterFacts = { clusterDomain: string; injectorAddress: string | undefined; namespace: string; podIp: string }

/** Longest wait for the first lists: a client that gets nothing soon gives up. */
const SYNC_TIMEOUT_MS = 5_000
/** ServiceCIDR objects change rarely: they are read again this often. */
const SERVICE_REFRESH_MS = 10 * 60_000
const BACKOFF = { firstMs: 1_000, mostMs: 60_000 }

const toIpNet = ({ bytes, prefix }: Subnet): IPNet => create(IPNetSchema, { ip: bytes, mask: prefix })
const toIpNets = (cidrs: string[] = []): IPNet[] =>
  cidrs
    .map(parseSubnet)
    .filter((subnet) => subnet !== undefined)
    .map(toIpNet)

/**
 * Which subnets lead to the cluster: those of Services, of the nodes' Pods, and blocks around Pods that lie outside them
 * (networks such as Calico's or AWS's take no notice of the nodes' podCIDRs). A block once told stays, so that routes do not flap.
 */
export class ClusterInfoSource {
  readonly changes = new Changes()
  readonly ready: Promise<void>
  readonly #clientDefaults: ClientDefaults
  readonly #blocks = new Map<string, Subnet>()
  readonly #controller = new AbortController()
  readonly #facts: ClusterFacts
  readonly #nodes: ObjectStore<Node, string[]>
  readonly #pods: ObjectStore<Pod, string[]>
  #services: Subnet[] = []

  constructor(facts: ClusterFacts, clientDefaults: ClientDefaults, { kubernetes, logger }: { kubernetes: Kubernetes; logger: Logger }) {
    this.#facts = facts
    this.#clientDefaults = clientDefaults
    const onChange = (): void => this.changes.emit()
    this.#controller.signal.addEventListener('abort', clientDefaults.changes.subscribe(onChange))
    this.#nodes = new ObjectStore<Node, string[]>({
      kubernetes,
      logger,
      onChange,
      path: '/api/v1/nodes',
      project: ({ spec }) => spec?.podCIDRs ?? (spec?.podCIDR ? [spec.podCIDR] : []),
    })
    this.#pods = new ObjectStore<Pod, string[]>({
      kubernetes,
      logger,
      onChange,
      path: '/api/v1/pods',
      project: ({ spec, status }) => (spec?.hostNetwork ? undefined : status?.podIPs?.map(({ ip }) => ip)),
    })
    const services = Promise.withResolvers<void>()
    void this.#followServices(kubernetes, logger, services.resolve)
    const settled = Promise.all([this.#nodes.settled, this.#pods.settled, services.promise])
    const limit = new Promise<void>((resolve) => void setTimeout(resolve, SYNC_TIMEOUT_MS).unref())
    this.ready = Promise.race([settled.then(() => {}), limit])
  }

  snapshot(): ClusterInfo {
    const { clusterDomain, injectorAddress, namespace, podIp } = this.#facts
    const managerPodIp = podIp ? addressBytes(podIp) : new Uint8Array()
    const [first] = this.#services
    // Telepresence's clients take these from here, not from GetClientConfig, before 2.21.
    const { dns = {}, routing = {} } = this.#clientDefaults.config
    return create(ClusterInfoSchema, {
      dns: create(DNSSchema, {
        clusterDomain: `${clusterDomain}.`,
        excludeSuffixes: dns.excludeSuffixes ?? [],
        includeSuffixes: dns.includeSuffixes ?? [],
        kubeIp: managerPodIp,
      }),
      injectorSvcHost: `agent-injector.${namespace}`,
      injectorSvcIp: injectorAddress ? addressBytes(injectorAddress) : new Uint8Array(),
      injectorSvcPort: 443,
      managerPodIp,
      managerPodPort: MANAGER_API_PORT,
      podSubnets: this.#podSubnets().map(toIpNet),
      routing: create(RoutingSchema, {
        allowConflictingSubnets: toIpNets(routing.allowConflictingSubnets),
        alsoProxySubnets: toIpNets(routing.alsoProxySubnets),
        neverProxySubnets: toIpNets(routing.neverProxySubnets),
      }),
      serviceCidrs: this.#services.map(({ bytes, prefix }) => Buffer.concat([bytes, Buffer.of(prefix)])),
      ...(first ? { serviceSubnet: toIpNet(first) } : {}),
    })
  }

  close(): void {
    this.#controller.abort()
    this.#nodes.close()
    this.#pods.close()
  }

  #podSubnets(): Subnet[] {
    const add = (subnet: Subnet | undefined): void => {
      if (subnet) this.#blocks.set(formatSubnet(subnet), subnet)
    }
    for (const cidr of this.#nodes.values().flat()) add(parseSubnet(cidr))
    const addresses = [this.#facts.podIp, ...this.#pods.values().flat()].filter((address) => address !== '')
    for (const address of addresses) add(coverAddress(address, Array.from(this.#blocks.values())))
    return Array.from(this.#blocks.entries(), ([text, subnet]) => ({ subnet, text }))
      .sort((a, b) => a.text.localeCompare(b.text))
      .map(({ subnet }) => subnet)
  }

  /** Never ends by itself: back-off while nothing is found, then a refresh now and then. */
  async #followServices(kubernetes: Kubernetes, logger: Logger, onFound: () => void): Promise<void> {
    const { signal } = this.#controller
    const onError = (error: unknown): void => logger.warn({ err: error }, 'Service subnets cannot be found')
    await keepTrying(
      async () => {
        const found = await findServiceCidrs(kubernetes, this.#facts.namespace, logger)
        if (found.length === 0) return false
        this.#services = found
        onFound()
        this.changes.emit()
        return true
      },
      { backoff: BACKOFF, onError, signal },
    )
    if (signal.aborted) return
    const timer = setInterval(() => {
      void findServiceCidrs(kubernetes, this.#facts.namespace, logger)
        .then((found) => {
          if (found.length === 0) return
          this.#services = found
          this.changes.emit()
        })
        .catch(onError)
    }, SERVICE_REFRESH_MS).unref()
    signal.addEventListener('abort', () => clearInterval(timer), { once: true })
  }
}
