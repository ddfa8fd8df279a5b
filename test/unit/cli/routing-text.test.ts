import assert from 'node:assert/strict'
import { test } from 'node:test'
import { routingLines } from '../../../src/cli/routing-text.ts'

test('routingLines() says what leads where, and what overlaps', () => {
  const virtual = { cidr: '10.96.0.0/16', isPrefix: false, reason: 'conflict', virtual: '246.246.0.0/17', workload: null } as const
  const lines = routingLines({
    conflicts: [{ cidr: '10.96.0.0/16', network: { cidr: '10.0.0.0/8', name: 'tun0 of the host' }, resolution: 'virtual' }],
    neverProxied: ['203.0.113.7/32'],
    notes: ['Pings are not carried'],
    routed: Array.from({ length: 10 }, (_, n) => `10.244.${n}.0/24`),
    virtual: [virtual, { ...virtual, cidr: '10.30.0.0/16', reason: 'proxy-via', workload: 'db' }],
  })
  assert.match(lines[0] ?? '', /^subnets: 10\.244\.0\.0\/24, .* and 2 more$/)
  assert.deepEqual(lines.slice(1), [
    'virtual: 10.96.0.0/16 as 246.246.0.0/17, 10.30.0.0/16 as 246.246.0.0/17 through "db"',
    'never proxied: 203.0.113.7/32',
    'Subnet 10.96.0.0/16 of the cluster overlaps with 10.0.0.0/8 (tun0 of the host): it is reached under addresses of 246.246.0.0/17',
    'Pings are not carried',
  ])
})

test('routingLines() says nothing where a tunnel of another version says nothing', () => {
  assert.deepEqual(routingLines(undefined), [])
})
