import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { contains } from '../../../src/base/cidr.ts'
import { type ForeignNetwork, type PlanInput, planRouting } from '../../../src/tunnel/routing-plan.ts'

const SERVICES = '10.96.0.0/16'
const PODS = ['10.244.0.0/24', '10.244.1.0/24']

const vpn = (cidr: string): ForeignNetwork => ({ cidr, isOwn: false, name: 'tun0 of the host' })
const docker = (cidr: string): ForeignNetwork => ({ cidr, isOwn: true, name: 'eth1' })

function plan(more: Partial<PlanInput> = {}) {
  return planRouting({
    apiAddresses: [],
    before: { direct: [], virtual: [] },
    cluster: { podSubnets: PODS, serviceSubnets: [SERVICES] },
    config: {},
    ipv6: true,
    networks: [],
    ...more,
  })
}
const leads = (device: string[], address: string): boolean => device.some((cidr) => contains(cidr, `${address}/32`))
const virtualOf = (made: ReturnType<typeof plan>) =>
  made.virtual.map(({ cidr, isPrefix, virtual, workload }) => [cidr, virtual, isPrefix, workload])

describe('planRouting()', () => {
  it('leads services, Pods and also-proxied subnets to the cluster, and nothing else', () => {
    const made = plan({ config: { alsoProxySubnets: ['172.20.5.5/16'] }, networks: [vpn('192.168.1.0/24'), docker('172.17.0.0/16')] })
    assert.deepEqual(made.device, [SERVICES, ...PODS, '172.20.0.0/16'])
    assert.deepEqual([made.routed, made.conflicts, made.virtual, made.refusal], [made.device, [], [], null])
  })

  it('leaves out what is never proxied, and always the API server', () => {
    const made = plan({ apiAddresses: ['10.244.1.7', '203.0.113.9'], config: { neverProxySubnets: ['10.96.128.0/17'] } })
    assert.ok(leads(made.device, '10.96.1.1') && leads(made.device, '10.244.1.6') && leads(made.device, '10.244.1.8'))
    assert.ok(!leads(made.device, '10.96.200.1') && !leads(made.device, '10.244.1.7'))
    assert.deepEqual(made.neverProxied, ['10.96.128.0/17', '10.244.1.7/32', '203.0.113.9/32'])
  })

  it('the narrower one of an also-proxied and a never-proxied subnet decides; the API server stays outside', () => {
    const narrowAlso = plan({
      apiAddresses: ['10.30.5.9'],
      config: { alsoProxySubnets: ['10.30.5.0/24'], neverProxySubnets: ['10.30.0.0/16'] },
    })
    assert.ok(leads(narrowAlso.device, '10.30.5.1') && !leads(narrowAlso.device, '10.30.6.1') && !leads(narrowAlso.device, '10.30.5.9'))
    const narrowNever = plan({ config: { alsoProxySubnets: ['10.30.0.0/16'], neverProxySubnets: ['10.30.5.0/24'] } })
    assert.ok(!leads(narrowNever.device, '10.30.5.1') && leads(narrowNever.device, '10.30.6.1'))
  })

  it('a subnet that a VPN has, too, becomes virtual; the others stay as they are', () => {
    const made = plan({ networks: [vpn('10.244.0.0/16')] })
    assert.deepEqual(virtualOf(made), [
      ['10.244.0.0/24', '246.246.128.0/24', true, null],
      ['10.244.1.0/24', '246.246.129.0/24', true, null],
    ])
    assert.deepEqual(made.device, [SERVICES, '246.246.128.0/24', '246.246.129.0/24'])
    assert.deepEqual(made.routed, [SERVICES])
    assert.deepEqual(made.conflicts[0], {
      cidr: '10.244.0.0/24',
      network: { cidr: '10.244.0.0/16', name: 'tun0 of the host' },
      resolution: 'virtual',
    })
  })

  it('a subnet that is too large for a block gets its virtual addresses one by one', () => {
    const made = plan({ networks: [docker('10.96.7.0/24')] })
    assert.deepEqual(virtualOf(made), [[SERVICES, '246.246.0.0/17', false, null]])
    const roomy = plan({ config: { virtualSubnet: '246.0.0.0/8' }, networks: [docker('10.96.7.0/24')] })
    assert.deepEqual(virtualOf(roomy), [[SERVICES, '246.128.0.0/16', true, null]])
  })

  it('IPv6 subnets become virtual within a range of their own, and are left out where there is no IPv6', () => {
    const cluster = { podSubnets: ['fd00:10::/64'], serviceSubnets: ['fd00:96::/108'] }
    const made = plan({ cluster, networks: [vpn('fd00:10::/32')] })
    assert.deepEqual(virtualOf(made), [['fd00:10::/64', 'fd00:7470:1:8000::/64', true, null]])
    assert.deepEqual(made.device, ['fd00:96::/108', 'fd00:7470:1:8000::/64'])
    assert.deepEqual(plan({ cluster, ipv6: false }).device, [])
  })

  it('an allowed conflict leaves the cluster its subnet; one in a never-proxied part is none', () => {
    const allowed = plan({ config: { allowConflictingSubnets: ['10.96.0.0/12'] }, networks: [vpn('10.0.0.0/8')] })
    assert.ok(allowed.device.includes(SERVICES) && !allowed.device.includes(PODS[0] ?? ''))
    assert.equal(allowed.conflicts.find(({ cidr }) => cidr === SERVICES)?.resolution, 'allowed')
    const never = plan({ config: { neverProxySubnets: ['10.96.7.0/24'] }, networks: [docker('10.96.7.0/24')] })
    assert.deepEqual([never.conflicts, never.virtual], [[], []])
  })

  it('refuses with both networks and what to do when conflicts are not to be resolved', () => {
    const made = plan({ config: { autoResolveConflicts: false }, networks: [vpn('10.96.0.0/12')] })
    assert.equal(made.refusal?.code, 'SUBNET_CONFLICT')
    assert.match(made.refusal.message, /10\.96\.0\.0\/16 .* 10\.96\.0\.0\/12 \(tun0 of the host\)/)
    assert.match(made.refusal.hint ?? '', /--allow-conflicting-subnets 10\.96\.0\.0\/16.*--vnat.*--never-proxy/)
    assert.deepEqual([made.device, made.conflicts[0]?.resolution], [[], 'refused'])
    const byUser = plan({ config: { autoResolveConflicts: false, vnat: ['10.96.0.0/16'] }, networks: [vpn('10.96.0.0/12')] })
    assert.equal(byUser.refusal, null)
  })

  it('refuses when the virtual addresses themselves are taken', () => {
    const made = plan({ networks: [vpn('10.96.0.0/16'), vpn('246.0.0.0/8')] })
    assert.equal(made.refusal?.code, 'SUBNET_CONFLICT')
    assert.match(made.refusal.hint ?? '', /virtualSubnet/)
    assert.equal(plan({ networks: [vpn('246.0.0.0/8')] }).refusal, null)
  })

  it('--vnat and --proxy-via take subnets and symbols; the workload wins', () => {
    const made = plan({ config: { alsoProxySubnets: ['10.30.0.0/24'], proxyVia: [{ cidr: 'also', workload: 'db' }], vnat: ['all'] } })
    assert.deepEqual(
      made.virtual.map(({ cidr, reason, workload }) => [cidr, reason, workload]),
      [
        [SERVICES, 'vnat', null],
        [PODS[0], 'vnat', null],
        [PODS[1], 'vnat', null],
        ['10.30.0.0/24', 'proxy-via', 'db'],
      ],
    )
    assert.deepEqual(made.routed, [])
    const part = plan({ config: { proxyVia: [{ cidr: '10.96.7.0/24', workload: 'db' }] } })
    assert.deepEqual(part.routed, [SERVICES, ...PODS])
    assert.ok(part.device.includes('246.246.128.0/24'))
  })

  it('what apps have in use stays: a VPN that comes up does not renumber, one that goes does not either', () => {
    const direct = plan()
    const later = plan({ before: { direct: direct.routed, virtual: [] }, networks: [vpn('10.0.0.0/8')] })
    assert.deepEqual([later.device, later.virtual], [direct.device, []])
    assert.ok(later.conflicts.length === 3 && later.conflicts.every(({ resolution }) => resolution === 'kept'))
    const virtual = plan({ networks: [vpn('10.244.0.0/16')] })
    const gone = plan({ before: { direct: virtual.routed, virtual: virtual.virtual } })
    assert.deepEqual([gone.device, gone.virtual, gone.conflicts], [virtual.device, virtual.virtual, []])
  })

  it('a Docker network that takes addresses away makes the subnet virtual even while it is in use', () => {
    const made = plan({ before: { direct: [SERVICES, ...PODS], virtual: [] }, networks: [docker('10.244.1.0/24')] })
    assert.deepEqual(virtualOf(made), [['10.244.1.0/24', '246.246.128.0/24', true, null]])
  })

  it('a block that was given out stays with its subnet', () => {
    const first = plan({ networks: [vpn('10.244.1.0/24')] })
    const both = plan({ before: { direct: [], virtual: first.virtual }, networks: [vpn('10.244.0.0/16')] })
    assert.deepEqual(virtualOf(both), [
      ['10.244.0.0/24', '246.246.129.0/24', true, null],
      ['10.244.1.0/24', '246.246.128.0/24', true, null],
    ])
  })

  it('plans for a cluster of 3000 nodes in a moment', () => {
    const podSubnets = Array.from({ length: 3000 }, (_, n) => `10.${128 + (n >> 8)}.${n & 255}.0/24`)
    const began = performance.now()
    const made = plan({ cluster: { podSubnets, serviceSubnets: [SERVICES] }, config: { vnat: ['pods'] } })
    assert.equal(made.virtual.length, 3000)
    assert.ok(performance.now() - began < 3000, `${performance.now() - began} ms`)
  })

  it('a setting that is no subnet is refused', () => {
    assert.equal(plan({ config: { vnat: ['nope'] } }).refusal?.code, 'USAGE')
    assert.equal(plan({ config: { virtualSubnet: 'nope' } }).refusal?.code, 'USAGE')
  })
})
