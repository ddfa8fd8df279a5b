import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { TYPE } from '../../../src/dns/codes.ts'
import { DEFAULT_EXCLUDE_SUFFIXES, type NamePlan, planName, reverseAddress, type Zone } from '../../../src/dns/name-plan.ts'

const zone: Zone = {
  clusterDomain: 'cluster.local',
  excludeSuffixes: DEFAULT_EXCLUDE_SUFFIXES,
  excludes: ['hidden', 'secret.other'],
  includeSuffixes: ['.corp.example.com', 'inside'],
  mappings: [
    { aliasFor: 'db.prod.svc.cluster.local', name: 'database' },
    { aliasFor: 'own.shop.svc.cluster.local.', name: 'own' },
    { aliasFor: 'loop-b', name: 'loop-a' },
    { aliasFor: 'loop-a', name: 'loop-b' },
    { aliasFor: 'database', name: 'Two.Steps' },
    { aliasFor: '192.0.2.9', name: 'fixed.example' },
    { aliasFor: 'fd00::9', name: 'fixed6' },
  ],
  namespace: 'shop',
  subnets: ['10.96.0.0/16', 'fd00:10:96::/112'],
}

const table: [name: string, type: number, expected: string][] = [
  ['web-app', TYPE.a, 'cluster-or-host web-app.shop.svc.cluster.local'],
  ['web-app.other', TYPE.aaaa, 'cluster-or-host web-app.other.svc.cluster.local'],
  ['web-app.other.svc', TYPE.a, 'cluster web-app.other.svc.cluster.local'],
  ['web-app.other.svc.cluster.local', TYPE.srv, 'cluster web-app.other.svc.cluster.local'],
  ['db-0.db.shop.svc', TYPE.a, 'cluster db-0.db.shop.svc.cluster.local'],
  ['public.example.com.shop.svc.cluster.local', TYPE.a, 'absent'],
  ['public.example.de.shop.svc.cluster.local', TYPE.a, 'cluster public.example.de.shop.svc.cluster.local'],
  ['_http._tcp.com.shop.svc.cluster.local', TYPE.srv, 'cluster _http._tcp.com.shop.svc.cluster.local'],
  ['com.shop.svc.cluster.local', TYPE.a, 'cluster com.shop.svc.cluster.local'],
  ['example.com.cluster.local', TYPE.a, 'absent'],
  ['example.com.svc.cluster.local', TYPE.a, 'cluster? example.com.svc.cluster.local'],
  ['host.corp.example.com.shop.svc.cluster.local', TYPE.a, 'cluster host.corp.example.com.shop.svc.cluster.local'],
  ['database', TYPE.a, 'alias db.prod.svc.cluster.local'],
  ['database.shop.svc.cluster.local', TYPE.a, 'alias db.prod.svc.cluster.local'],
  ['database.svc.cluster.local', TYPE.a, 'alias db.prod.svc.cluster.local'],
  ['database.other.svc.cluster.local', TYPE.a, 'cluster database.other.svc.cluster.local'],
  ['two.steps', TYPE.a, 'alias database > db.prod.svc.cluster.local'],
  ['own', TYPE.a, 'alias own.shop.svc.cluster.local'],
  ['own.shop.svc.cluster.local', TYPE.a, 'cluster own.shop.svc.cluster.local'],
  ['loop-a', TYPE.a, 'alias loop-b'],
  ['fixed.example', TYPE.a, 'alias 192.0.2.9'],
  ['fixed6.shop.svc.cluster.local', TYPE.aaaa, 'alias fd00::9'],
  ['hidden', TYPE.a, 'absent'],
  ['hidden.shop.svc.cluster.local', TYPE.a, 'absent'],
  ['hidden.cluster.local', TYPE.a, 'absent'],
  ['hidden.other', TYPE.a, 'cluster-or-host hidden.other.svc.cluster.local'],
  ['secret.other.svc.cluster.local', TYPE.a, 'absent'],
  ['secret.other', TYPE.srv, 'absent'],
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

function shown(plan: NamePlan): string {
  if (plan.kind === 'alias') return `alias ${[...plan.names, ...(plan.address ? [plan.address] : [])].join(' > ')}`
  return 'name' in plan ? `${plan.kind}${'orAbsent' in plan ? '?' : ''} ${plan.name}` : plan.kind
}

for (const [name, type, expected] of table)
  test(`planName() sends "${name}" type ${type} to: ${expected}`, () => {
    const plan = planName(name, type, zone)
    assert.equal(shown(plan), expected)
    assert.ok(plan.rule)
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
