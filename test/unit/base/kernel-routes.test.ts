import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseIpv4Routes, parseIpv6Routes } from '../../../src/base/kernel-routes.ts'

describe('kernel routes', () => {
  it('parseIpv4Routes() reads /proc/net/route with guard routes', () => {
    const table = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010011AC	0003	0	0	0	00000000	0	0	0
tpx0	0000600A	00000000	0001	0	0	2000	0000FFFF	0	0	0
*	0000600A	00000000	0201	0	0	4000000	0000FFFF	0	0	0
`
    assert.deepEqual(parseIpv4Routes(table), [
      { cidr: '0.0.0.0/0', device: 'eth0', isUnreachable: false, metric: 0 },
      { cidr: '10.96.0.0/16', device: 'tpx0', isUnreachable: false, metric: 2000 },
      { cidr: '10.96.0.0/16', device: '*', isUnreachable: true, metric: 4_000_000 },
    ])
  })

  it('parseIpv6Routes() reads /proc/net/ipv6_route with guard routes', () => {
    const table = `fd960000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 000007d0 00000001 00000000 00000001     tpx0
fd960000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 003d0900 00000001 00000000 00200200       lo
`
    assert.deepEqual(parseIpv6Routes(table), [
      { cidr: 'fd96::/64', device: 'tpx0', isUnreachable: false, metric: 2000 },
      { cidr: 'fd96::/64', device: 'lo', isUnreachable: true, metric: 4_000_000 },
    ])
  })
})
