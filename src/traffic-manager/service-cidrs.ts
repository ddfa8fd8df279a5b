import type { Logger } from '../base/logger.ts'
import { messageOf } from '../base/error.ts'
import { HttpStatusError } from '../kube/api-request.ts'
import type { Kubernetes } from './kubernetes-api.ts'
import { parseSubnet, type Subnet } from './subnets.ts'

type ServiceCidrList = { items: { spec: { cidrs?: string[] } }[] }

/** Addresses that no cluster has for Services: the API server names the real range when it refuses them. */
const IMPOSSIBLE = { IPv4: '1.1.1.1', IPv6: '1:1::1' } as const

const parsed = (cidrs: string[]): Subnet[] => cidrs.map(parseSubnet).filter((subnet) => subnet !== undefined)

/**
 * The address ranges of Services: from ServiceCIDR objects (Kubernetes 1.33 and later), else from the refusal of a dry run.
 * Empty when the API gives neither.
 */
export async function findServiceCidrs(kubernetes: Kubernetes, namespace: string, logger: Logger): Promise<Subnet[]> {
  try {
    const list = await kubernetes.get<ServiceCidrList>('/apis/networking.k8s.io/v1/servicecidrs')
    const found = parsed(list.items.flatMap(({ spec }) => spec.cidrs ?? []))
    if (found.length > 0) return found
  } catch (error) {
    logger.info({ error: messageOf(error) }, 'No ServiceCIDR objects; asking by a dry run')
  }

  const families = ['IPv4', 'IPv6'] as const
  return (await Promise.all(families.map((family) => probe(kubernetes, namespace, family)))).flat()
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
