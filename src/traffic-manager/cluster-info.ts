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
import { PodSubnets } from './pod-subnets.ts'
import { findServiceCidrs, parsed, SERVICE_CIDRS_PATH, type ServiceCidr } from './service-cidrs.ts'
import { parseSubnet, type Subnet } from './subnets.ts'

type Node = KubernetesObject & { spec?: { podCIDR?: string; podCIDRs?: string[] } }
type Pod = KubernetesObject & { spec?: { hostNetwork?: boolean }; status?: { podIPs?: { ip: string }[] } }

/** What clients are given as defaults, and when it changes. */
export type ClientDefaults = { readonly changes: Changes; readonly config: ClientConfig }

/** What does not change while the program runs. */
export type ClusterFacts = { clusterDomain: string; injectorAddress: string | undefined; namespace: string; podIp: string }

/** Longest wait for the first lists: a client that gets nothing soon gives up. */
const SYNC_TIMEOUT_MS = 5_000
/** How often it is looked again where nothing can be watched: a range changes rarely, a Service may come at any time. */
const REFRESH_MS = { addresses: 30_000, 'dry-run': 10 * 60_000 } as const
/** How often Pod subnets without Pods are looked for. */
const EXPIRY_MS = 60_000
const BACKOFF = { firstMs: 1_000, mostMs: 60_000 }

const toIpNet = ({ bytes, prefix }: Subnet): IPNet => create(IPNetSchema, { ip: bytes, mask: prefix })
const toIpNets = (cidrs: string[] = []): IPNet[] =>
  cidrs
    .map(parseSubnet)
    .filter((subnet) => subnet !== undefined)
    .map(toIpNet)

/**
 * Which subnets lead to the cluster: those of Services, of the nodes' Pods, and blocks around Pods that lie outside them
 * (networks such as Calico's or AWS's take no notice of the nodes' podCIDRs).
 */
export class ClusterInfoSource {
  readonly changes = new Changes()
  readonly ready: Promise<void>
  readonly #clientDefaults: ClientDefaults
  readonly #controller = new AbortController()
  readonly #facts: ClusterFacts
  readonly #nodes: ObjectStore<Node, string[]>
  readonly #podSubnets = new PodSubnets()
  readonly #pods: ObjectStore<Pod, string[]>
  #serviceObjects: ObjectStore<ServiceCidr, string[]> | undefined
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
    const expiry = setInterval(onChange, EXPIRY_MS).unref()
    this.#controller.signal.addEventListener('abort', () => clearInterval(expiry), { once: true })
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
      podSubnets: this.#findPodSubnets().map(toIpNet),
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
    this.#serviceObjects?.close()
  }

  #findPodSubnets(): Subnet[] {
    const addresses = [this.#facts.podIp, ...this.#pods.values().flat()].filter((address) => address !== '')
    return this.#podSubnets.update(this.#nodes.values().flat(), addresses)
  }

  /** Never ends by itself: back-off while nothing is found, then a watch, or another look now and then. */
  async #followServices(kubernetes: Kubernetes, logger: Logger, onFound: () => void): Promise<void> {
    const { signal } = this.#controller
    const onError = (error: unknown): void => logger.warn({ err: error }, 'Service subnets cannot be found')
    const look = async (): Promise<'addresses' | 'dry-run' | 'objects' | undefined> => {
      const { source, subnets } = await findServiceCidrs(kubernetes, this.#facts.namespace, logger)
      if (subnets.length === 0) return undefined
      this.#services = subnets
      this.changes.emit()
      return source
    }
    let source: Awaited<ReturnType<typeof look>>
    const attempt = async (): Promise<boolean> => (source = await look()) !== undefined
    await keepTrying(attempt, { backoff: BACKOFF, onError, signal })
    onFound()
    if (signal.aborted) return
    if (source === 'objects') return this.#watchServiceObjects(kubernetes, logger)
    const timer = setInterval(() => void look().catch(onError), REFRESH_MS[source ?? 'dry-run']).unref()
    signal.addEventListener('abort', () => clearInterval(timer), { once: true })
  }

  #watchServiceObjects(kubernetes: Kubernetes, logger: Logger): void {
    this.#serviceObjects = new ObjectStore<ServiceCidr, string[]>({
      kubernetes,
      logger,
      onChange: () => {
        const subnets = parsed(this.#serviceObjects?.values().flat() ?? [])
        // The API server itself needs one; none at all is a list that was not read.
        if (subnets.length > 0) this.#services = subnets
        this.changes.emit()
      },
      path: SERVICE_CIDRS_PATH,
      project: ({ spec }) => spec.cidrs,
    })
  }
}
