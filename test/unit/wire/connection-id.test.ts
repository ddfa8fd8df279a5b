import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { canonicalAddress, type ConnectionId, decodeConnectionId, encodeConnectionId } from '../../../src/wire/connection-id.ts'

const id = (source: [string, number], destination: [string, number], protocol: 'tcp' | 'udp' = 'tcp'): ConnectionId => ({
  destination: { address: destination[0], port: destination[1] },
  protocol,
  source: { address: source[0], port: source[1] },
})

// Golden bytes: made by Telepresence 2.27.4's own connid code.
const golden: [string, ConnectionId, string][] = [
  ['two IPv4 addresses over TCP', id(['10.1.2.3', 40000], ['10.96.0.10', 80]), '0a0102039c400a60000a005006'],
  ['two IPv4 addresses over UDP', id(['10.1.2.3', 40000], ['10.96.0.10', 53], 'udp'), '0a0102039c400a60000a003511'],
  [
    'two IPv6 addresses',
    id(['fd00::1', 40000], ['fd00:1::2', 443]),
    'fd0000000000000000000000000000019c40fd00000100000000000000000000000201bb06',
  ],
  [
    'IPv4 to IPv6',
    id(['10.1.2.3', 40000], ['fd00:1::2', 443]),
    '00000000000000000000ffff0a0102039c40fd00000100000000000000000000000201bb06',
  ],
]

const plain = <T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record<T>(fields, { noNullPrototype: true })
const address = fc.oneof(fc.ipV4(), fc.ipV6())
const endpoint = plain({ address, port: fc.nat(65535) })
const connectionId = plain({ destination: endpoint, protocol: fc.constantFrom('tcp' as const, 'udp' as const), source: endpoint })

describe('connection id', () => {
  for (const [what, value, hex] of golden) {
    it(`encodeConnectionId() writes Telepresence's bytes for ${what}`, () => {
      assert.equal(encodeConnectionId(value).toString('hex'), hex)
      assert.deepEqual(decodeConnectionId(Buffer.from(hex, 'hex')), value)
    })
  }

  it('encodeConnectionId() unmaps a pair of IPv4-mapped addresses', () => {
    const mapped = encodeConnectionId(id(['::ffff:10.1.2.3', 40000], ['::ffff:10.96.0.10', 80]))
    assert.equal(mapped.toString('hex'), '0a0102039c400a60000a005006')
  })

  it('decodeConnectionId() gives back what was encoded, in canonical text', () => {
    fc.assert(
      fc.property(connectionId, (value) => {
        const canonical = (end: ConnectionId['source']) => ({ address: canonicalAddress(end.address), port: end.port })
        const expected = { ...value, destination: canonical(value.destination), source: canonical(value.source) }
        assert.deepEqual(decodeConnectionId(encodeConnectionId(value)), expected)
      }),
    )
  })

  it('decodeConnectionId() rejects every other length', () => {
    const whole = encodeConnectionId(id(['fd00::1', 1], ['fd00::2', 2]))
    for (let length = 0; length < whole.length; length++) {
      assert.throws(() => decodeConnectionId(whole.subarray(0, length)), { code: 'USAGE' })
    }
  })

  it('encodeConnectionId() rejects what only looks like an address', () => {
    assert.throws(() => encodeConnectionId(id(['10.1', 1], ['10.0.0.1', 2])), { code: 'USAGE' })
  })
})
