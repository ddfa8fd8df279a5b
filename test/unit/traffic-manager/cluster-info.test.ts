import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { silentLogger } from '../../../src/base/logger.ts'
import { HttpStatusError } from '../../../src/kube/api-request.ts'
import { Changes } from '../../../src/traffic-manager/changes.ts'
import { ClusterInfoSource } from '../../../src/traffic-manager/cluster-info.ts'
import { PodSubnets } from '../../../src/traffic-manager/pod-subnets.ts'
import { findServiceCidrs, rangesIn } from '../../../src/traffic-manager/service-cidrs.ts'
import { formatSubnet, parseSubnet } from '../../../src/traffic-manager/subnets.ts'
import type { IPNet } from '../../../src/wire/generated/manager_pb.ts'
import { fakeKubernetes } from './fake-kubernetes.ts'
import { eventually } from './manager-fixture.ts'

const facts = { clusterDomain: 'cluster.local', injectorAddress: '10.96.0.20', namespace: 'tpx', podIp: '10.244.1.5' }
const list = (items: unknown[]) => ({ items, metadata: { resourceVersion: '1' } })
const node = (name: string, ...podCIDRs: string[]) => ({ metadata: { name }, spec: { podCIDRs } })
const pod = (name: string, ip: string, hostNetwork = false) => ({
  metadata: { name, namespace: 'x' },
  spec: { hostNetwork },
  status: { podIPs: [{ ip }] },
})
const text = ({ ip, mask }: IPNet) => formatSubnet({ bytes: Buffer.from(ip), prefix: mask })

const DRY_RUN = '/api/v1/namespaces/tpx/services?dryRun=All'
const refusal = (range: string) =>
  new HttpStatusError(
    422,
    `{"kind":"Status","message":"Service \\"x\\" is invalid: spec.clusterIPs: Invalid value: [\\"1.1.1.1\\"]: failed to allocate IP 1.1.1.1: the provided network does not match the current range or the provided IP is not in the valid range. The range of valid IPs is ${range}"}`,
  )

async function source(answers: Record<string, unknown>) {
  const kubernetes = fakeKubernetes({ '/api/v1/nodes?limit=500': list([]), '/api/v1/pods?limit=500': list([]), ...answers })
  const info = new ClusterInfoSource(facts, { changes: new Changes(), config: {} }, { kubernetes, logger: silentLogger() })
  await info.ready
  return { info, kubernetes, [Symbol.dispose]: () => info.close() }
}

describe('ClusterInfoSource', () => {
  const servicecidrs = {
    '/apis/networking.k8s.io/v1/servicecidrs': list([
      { metadata: { name: 'kubernetes' }, spec: { cidrs: ['10.96.0.0/12', 'fd00:1::/112'] } },
    ]),
  }

  it('snapshot() tells services in both shapes, node subnets, the domain and the addresses of manager and injector', async () => {
    using made = await source({
      ...servicecidrs,
      '/api/v1/nodes?limit=500': list([node('a', '10.244.0.0/24'), node('b', '10.244.1.0/24', 'fd00:2:0:1::/64')]),
    })
    const info = made.info.snapshot()
    assert.deepEqual(
      info.serviceCidrs.map((bytes) => Buffer.from(bytes).toString('hex')),
      ['0a6000000c', 'fd00000100000000000000000000000070'],
    )
    assert.equal(text(info.serviceSubnet!), '10.96.0.0/12')
    assert.deepEqual(info.podSubnets.map(text), ['10.244.0.0/24', '10.244.1.0/24', 'fd00:2:0:1::/64'])
    assert.deepEqual([info.dns?.clusterDomain, info.managerPodPort, info.injectorSvcHost], ['cluster.local.', 8081, 'agent-injector.tpx'])
    assert.deepEqual([...info.managerPodIp], [10, 244, 1, 5])
    assert.deepEqual([...info.dns!.kubeIp], [10, 244, 1, 5])
  })

  it('snapshot() covers Pods outside of the nodes by blocks that stay, and leaves host-network Pods out', async () => {
    using made = await source({
      ...servicecidrs,
      '/api/v1/pods?limit=500': list([pod('a', '192.168.7.9'), pod('b', 'fd00:9::5'), pod('host', '172.18.0.2', true)]),
    })
    const subnets = () => made.info.snapshot().podSubnets.map(text)
    assert.deepEqual(subnets(), ['10.244.1.0/24', '192.168.7.0/24', 'fd00:9::/64'])
    const watch = await eventually(() => made.kubernetes.watches.find(({ path }) => path.startsWith('/api/v1/pods')))
    let told = 0
    made.info.changes.subscribe(() => told++)
    watch.onEvent({ object: pod('c', '192.168.8.1'), type: 'ADDED' })
    watch.onEvent({ object: pod('a', '192.168.7.9'), type: 'DELETED' })
    await eventually(() => told > 0)
    assert.deepEqual(subnets(), ['10.244.1.0/24', '192.168.7.0/24', '192.168.8.0/24', 'fd00:9::/64'])
  })
})

describe('changes of the cluster', () => {
  const objects = (...items: unknown[]) => ({
    '/apis/networking.k8s.io/v1/servicecidrs': list(items),
    '/apis/networking.k8s.io/v1/servicecidrs?limit=500': list(items),
  })
  const serviceCidr = (name: string, ...cidrs: string[]) => ({ metadata: { name }, spec: { cidrs } })

  it('a ServiceCIDR that is added, and one that goes, are told at once', async () => {
    using made = await source(objects(serviceCidr('kubernetes', '10.96.0.0/16')))
    const watch = await eventually(() => made.kubernetes.watches.find(({ path }) => path.includes('servicecidrs')))
    const cidrs = () => made.info.snapshot().serviceCidrs.map((bytes) => [...bytes].join('.'))
    watch.onEvent({ object: serviceCidr('second', '10.97.0.0/24'), type: 'ADDED' })
    await eventually(() => cidrs().length === 2)
    watch.onEvent({ object: serviceCidr('second', '10.97.0.0/24'), type: 'DELETED' })
    await eventually(() => cidrs().length === 1)
    assert.deepEqual(cidrs(), ['10.96.0.0.16'])
  })

  it('the subnet of a node that goes is no longer told', async () => {
    using made = await source({
      ...objects(serviceCidr('kubernetes', '10.96.0.0/16')),
      '/api/v1/nodes?limit=500': list([node('a', '10.244.0.0/24'), node('b', '10.244.1.0/24')]),
    })
    const subnets = () => made.info.snapshot().podSubnets.map(text)
    assert.deepEqual(subnets(), ['10.244.0.0/24', '10.244.1.0/24'])
    const watch = await eventually(() => made.kubernetes.watches.find(({ path }) => path.startsWith('/api/v1/nodes')))
    watch.onEvent({ object: node('a', '10.244.0.0/24'), type: 'DELETED' })
    await eventually(() => subnets().length === 1)
  })

  it('PodSubnets drops a block when it had no Pod for ten minutes', () => {
    let now = 0
    const subnets = new PodSubnets(() => now)
    const update = (...addresses: string[]) => subnets.update(['10.244.0.0/24'], addresses).map(formatSubnet)
    assert.deepEqual(update('10.244.0.9', '192.168.7.9'), ['10.244.0.0/24', '192.168.7.0/24'])
    now = 9 * 60_000
    assert.deepEqual(update('192.168.7.10'), ['10.244.0.0/24', '192.168.7.0/24'])
    now = 18 * 60_000
    assert.deepEqual(update(), ['10.244.0.0/24', '192.168.7.0/24'])
    now = 19 * 60_000
    assert.deepEqual(update(), ['10.244.0.0/24'])
  })
})

describe('findServiceCidrs()', () => {
  it('reads the refusal of a dry run where there are no ServiceCIDR objects', async () => {
    const kubernetes = fakeKubernetes({ [DRY_RUN]: refusal('10.43.0.0/16') })
    const { source, subnets } = await findServiceCidrs(kubernetes, 'tpx', silentLogger())
    assert.deepEqual([source, formatSubnet(subnets[0]!)], ['dry-run', '10.43.0.0/16'])
  })

  it('covers the addresses of Services where the API tells no range at all', async () => {
    const service = (...clusterIPs: string[]) => ({ metadata: { name: 'x' }, spec: { clusterIPs } })
    const kubernetes = fakeKubernetes({
      '/api/v1/services?limit=500': {
        items: [service('10.43.0.1'), service('None'), service('10.43.9.9', 'fd00:43::9')],
        metadata: { continue: 'more', resourceVersion: '1' },
      },
      '/api/v1/services?limit=500&continue=more': list([service('172.20.3.4')]),
    })
    const { source, subnets } = await findServiceCidrs(kubernetes, 'tpx', silentLogger())
    assert.deepEqual([source, subnets.map(formatSubnet)], ['addresses', ['10.43.0.0/16', 'fd00:43::/112', '172.20.0.0/16']])
  })

  it('rangesIn() reads IPv4, IPv6 and nothing', () => {
    assert.deepEqual(rangesIn('The range of valid IPs is fd00:1::/112"}').map(formatSubnet), ['fd00:1::/112'])
    assert.deepEqual(rangesIn('forbidden'), [])
  })

  it('parseSubnet() clears host bits', () => {
    assert.equal(formatSubnet(parseSubnet('10.100.3.4/12')!), '10.96.0.0/12')
    assert.equal(formatSubnet(parseSubnet('fd00:1::ffff/112')!), 'fd00:1::/112')
    assert.equal(parseSubnet('10.0.0.1'), undefined)
  })
})
