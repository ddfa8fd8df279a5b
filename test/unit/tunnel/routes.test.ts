import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseFailures } from '../../../src/tunnel/ip-command.ts'
import { formatRuleset } from '../../../src/tunnel/nft-ruleset.ts'

describe('routes', () => {
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
