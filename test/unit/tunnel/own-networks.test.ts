import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KernelRoute } from '../../../src/base/kernel-routes.ts'
import { ownNetworks } from '../../../src/tunnel/own-networks.ts'

const route = (cidr: string, device: string, more: Partial<KernelRoute> = {}): KernelRoute => ({
  cidr,
  device,
  isUnreachable: false,
  metric: 0,
  ...more,
})

test('ownNetworks() are those of the Docker networks: neither the tunnel’s routes and guards, nor the default route', () => {
  const found = ownNetworks([
    route('0.0.0.0/0', 'eth0'),
    route('172.17.0.0/16', 'eth0'),
    route('10.96.0.0/16', 'tpx0', { metric: 2000 }),
    route('10.96.0.0/16', '*', { isUnreachable: true, metric: 4_000_000 }),
    route('10.96.128.0/24', 'eth1'),
    route('::1/128', 'lo'),
    route('fe80::/64', 'eth0'),
    route('ff00::/8', 'eth0'),
    route('fd12::/64', 'eth1'),
    route('fd12::5/128', 'eth1'),
  ])
  assert.deepEqual(
    found.map(({ cidr, isOwn, name }) => [cidr, isOwn, name.split(' ').at(-1)]),
    [
      ['10.96.128.0/24', true, 'eth1'],
      ['172.17.0.0/16', true, 'eth0'],
      ['fd12::/64', true, 'eth1'],
    ],
  )
})
