import type { Logger } from '../base/logger.ts'
import { messageOf } from '../base/error.ts'
import { HttpStatusError } from '../kube/api-request.ts'
import type { Kubernetes } from './kubernetes-api.ts'
import { coverAddress, parseSubnet, type Subnet } from './subnets.ts'

/** A ServiceCIDR object (Kubernetes 1.33 and later). */
export type ServiceCidr = { metadata: { name: string }; spec: { cidrs?: string[] } }

type List<T> = { items: T[]; metadata?: { continue?: string } }
type Service = { spec?: { clusterIPs?: string[] } }

/** Where ServiceCIDR objects are. */
export const SERVICE_CIDRS_PATH = '/apis/networking.k8s.io/v1/servicecidrs'

/** `source`: objects can be watched; a dry run tells the whole range; addresses of Services only show where some are. */
export type FoundServiceCidrs = { source: 'addresses' | 'dry-run' | 'objects'; subnets: Subnet[] }

/** Without any word on the range, blocks of this size around the addresses of Services (IPv4, IPv6), as Telepresence guesses. */
const GUESS_PREFIX = { 4: 16, 16: 112 } as const

/** Addresses that no cluster has for Services: the API server names the real range when it refuses them. */
const IMPOSSIBLE = { IPv4: '1.1.1.1', IPv6: '1:1::1' } as const

/** The subnets among these texts. */
export const parsed = (cidrs: string[]): Subnet[] => cidrs.map(parseSubnet).filter((subnet) => subnet !== undefined)

/**
 * The address ranges of Services: from ServiceCIDR objects (Kubernetes 1.33 and later), else from the refusal of a dry run, else
 * blocks around the addresses of the Services that there are. Empty when the API gives none of it.
 */
export async function findServiceCidrs(kubernetes: Kubernetes, namespace: string, logger: Logger): Promise<FoundServiceCidrs> {
  try {
    const list = await kubernetes.get<List<ServiceCidr>>(SERVICE_CIDRS_PATH)
    const subnets = parsed(list.items.flatMap(({ spec }) => spec.cidrs ?? []))
    if (subnets.length > 0) return { source: 'objects', subnets }
  } catch (error) {
    logger.info({ error: messageOf(error) }, 'No ServiceCIDR objects; asking by a dry run')
  }

  const families = ['IPv4', 'IPv6'] as const
  const ranges = (await Promise.all(families.map((family) => probe(kubernetes, namespace, family)))).flat()
  if (ranges.length > 0) return { source: 'dry-run', subnets: ranges }
  return { source: 'addresses', subnets: await aroundServices(kubernetes) }
}

async function aroundServices(kubernetes: Kubernetes): Promise<Subnet[]> {
  const blocks: Subnet[] = []
  for (let next = ''; ;) {
    const { items, metadata } = await kubernetes.get<List<Service>>(
      `/api/v1/services?limit=500${next && `&continue=${encodeURIComponent(next)}`}`,
    )
    for (const address of items.flatMap(({ spec }) => spec?.clusterIPs ?? [])) {
      const block = address === 'None' ? undefined : coverAddress(address, blocks, GUESS_PREFIX)
      if (block) blocks.push(block)
    }

    next = metadata?.continue ?? ''
    if (!next) return blocks
  }
}

/** Tries (without effect) to create a Service with an impossible address. */
async function probe(kubernetes: Kubernetes, namespace: string, family: 'IPv4' | 'IPv6'): Promise<Subnet[]> {
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'tpx-service-cidr-probe' },
    spec: { clusterIP: IMPOSSIBLE[family], ipFamilies: [family], ports: [{ port: 443 }] },
  }
  try {
    await kubernetes.create(`/api/v1/namespaces/${namespace}/services?dryRun=All`, service)
    return []
  } catch (error) {
    return error instanceof HttpStatusError ? rangesIn(error.body) : []
  }
}

/** The CIDRs that a refusal names: "The range of valid IPs is 10.96.0.0/12". */
export function rangesIn(refusal: string): Subnet[] {
  const [, ranges = ''] = /range of valid IPs is ([0-9a-fA-F.:/, ]+)/.exec(refusal) ?? []
  return parsed(
    ranges
      .split(/[, ]+/)
      .filter(Boolean)
      .map((range) => range.replace(/\.$/, '')),
  )
}
