import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { TYPE } from '../../../src/dns/codes.ts'
import { DEFAULT_EXCLUDE_SUFFIXES, planName, reverseAddress, type Zone } from '../../../src/dns/name-plan.ts'

const zone: Zone = {
  clusterDomain: 'cluster.local',
  excludeSuffixes: DEFAULT_EXCLUDE_SUFFIXES,
  includeSuffixes: ['.corp.example.com', 'inside'],
  namespace: 'shop',
  subnets: ['10.96.0.0/16', 'fd00:10:96::/112'],
}

const table: [name: string, type: number, expected: string][] = [
  ['web-app', TYPE.a, 'cluster-or-host web-app.shop.svc.cluster.local'],
  ['web-app.other', TYPE.aaaa, 'cluster-or-host web-app.other.svc.cluster.local'],
  ['web-app.other.svc', TYPE.a, 'cluster web-app.other.svc.cluster.local'],
  ['web-app.other.svc.cluster.local', TYPE.srv, 'cluster web-app.other.svc.cluster.local'],
  ['db-0.db.shop.svc', TYPE.a, 'cluster db-0.db.shop.svc.cluster.local'],
  ['public.example.com.shop.svc.cluster.local', TYPE.a, 'cluster public.example.com.shop.svc.cluster.local'],
  ['cluster.local', TYPE.ns, 'cluster cluster.local'],
  ['notcluster.local', TYPE.a, 'cluster-or-host notcluster.local.svc.cluster.local'],
  ['github.com', TYPE.a, 'host'],
  ['telepresence.io', TYPE.a, 'host'],
  ['www.example.de', TYPE.a, 'host'],
  ['host.corp.example.com', TYPE.a, 'cluster host.corp.example.com'],
  ['inside', TYPE.a, 'cluster inside'],
  ['wpad', TYPE.a, 'absent'],
  ['wpad.shop.svc.cluster.local', TYPE.a, 'absent'],
  ['localhost', TYPE.a, 'loopback'],
  ['app.localhost', TYPE.aaaa, 'loopback'],
  ['1.0.0.127.in-addr.arpa', TYPE.ptr, 'loopback'],
  ['10.0.96.10.in-addr.arpa', TYPE.ptr, 'cluster 10.0.96.10.in-addr.arpa'],
  ['1.1.168.192.in-addr.arpa', TYPE.ptr, 'host'],
  ['10.0.96.10.in-addr.arpa', TYPE.ns, 'host'],
  ['999.0.96.10.in-addr.arpa', TYPE.ptr, 'host'],
  ['', TYPE.ns, 'host'],
]

for (const [name, type, expected] of table)
  test(`planName() sends "${name}" type ${type} to: ${expected}`, () => {
    const plan = planName(name, type, zone)
    assert.equal('name' in plan ? `${plan.kind} ${plan.name}` : plan.kind, expected)
  })

test('planName() finds an IPv6 address of the cluster in its reverse name', () => {
  const name = 'a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa'
  assert.equal(reverseAddress(name), 'fd00:0010:0096:0000:0000:0000:0000:000a')
  assert.equal(planName(name, TYPE.ptr, zone).kind, 'cluster')
})

test('reverseAddress() reads every IPv4 address back', () => {
  fc.assert(
    fc.property(fc.ipV4(), (address) => {
      assert.equal(reverseAddress(`${address.split('.').toReversed().join('.')}.in-addr.arpa`), address)
    }),
  )
})
