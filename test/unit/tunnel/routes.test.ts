import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseFailures } from '../../../src/tunnel/ip-command.ts'
import { parseIpv4Routes, parseIpv6Routes } from '../../../src/tunnel/kernel-routes.ts'
import { formatRuleset } from '../../../src/tunnel/nft-ruleset.ts'
import { contains, normalizeCidr } from '../../../src/tunnel/routes.ts'

describe('routes', () => {
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

  it('normalizeCidr() clears the bits behind the prefix', () => {
    assert.equal(normalizeCidr('10.96.3.4/12'), '10.96.0.0/12')
    assert.equal(normalizeCidr('fd96::1:2/64'), 'fd96::/64')
  })

  it('contains() compares subnets of one family', () => {
    assert.ok(contains('10.0.0.0/8', '10.96.0.0/16'))
    assert.ok(contains('10.0.0.0/8', '10.0.0.0/8'))
    assert.ok(contains('fd96::/64', 'fd96::1/128'))
    assert.ok(!contains('10.96.0.0/16', '10.0.0.0/8'))
    assert.ok(!contains('10.0.0.0/8', 'fd96::/64'))
  })

  it('parseFailures() finds the commands of a batch that failed, and why', () => {
    assert.deepEqual(
      parseFailures('RTNETLINK answers: File exists\nCommand failed -:4\nRTNETLINK answers: Operation not permitted\nCommand failed -:5\n'),
      [
        { index: 3, reason: 'RTNETLINK answers: File exists' },
        { index: 4, reason: 'RTNETLINK answers: Operation not permitted' },
      ],
    )
    assert.deepEqual(parseFailures('Error: inet prefix is expected rather than "x".\n'), [
      { index: undefined, reason: 'Error: inet prefix is expected rather than "x".' },
    ])
  })

  it('formatRuleset() leads each family to its own listener, and the second way to none', () => {
    const options = {
      device: 'tpx0',
      mark: 0x7470,
      targets: [
        { address: '198.18.0.1', port: 1111 },
        { address: 'fd00:7470::1', port: 2222 },
      ],
    }
    const tproxy = formatRuleset('tproxy', options)
    assert.match(tproxy, /nfproto ipv4 .* tproxy ip to 198\.18\.0\.1:1111 accept/)
    assert.match(tproxy, /nfproto ipv6 .* tproxy ip6 to \[fd00:7470::1\]:2222 accept/)
    assert.doesNotMatch(formatRuleset('listener', options), /tproxy/)
  })
})
