import assert from 'node:assert/strict'
import net from 'node:net'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { formatAddress, isUnicast, parseAddress } from '../../../src/netstack/ip-address.ts'

const ipv6Bytes = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), { maxLength: 8, minLength: 8 })
const toBytes = (groups: number[]): Uint8Array => Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]))

describe('ip-address', () => {
  it('formatAddress() writes the examples of RFC 5952 §4', () => {
    const cases: [number[], string][] = [
      [[0x2001, 0xdb8, 0, 0, 0, 0, 2, 1], '2001:db8::2:1'],
      [[0x2001, 0xdb8, 0, 1, 1, 1, 1, 1], '2001:db8:0:1:1:1:1:1'],
      [[0x2001, 0, 0, 1, 0, 0, 0, 1], '2001:0:0:1::1'],
      [[0x2001, 0xdb8, 0, 0, 1, 0, 0, 1], '2001:db8::1:0:0:1'],
      [[0, 0, 0, 0, 0, 0, 0, 0], '::'],
      [[0, 0, 0, 0, 0, 0, 0, 1], '::1'],
      [[0xfd96, 0, 0, 0, 0, 0, 0, 0], 'fd96::'],
    ]
    for (const [groups, text] of cases) assert.equal(formatAddress(toBytes(groups)), text)
    assert.equal(formatAddress(Uint8Array.of(10, 96, 0, 1)), '10.96.0.1')
  })

  it('parseAddress() reverses formatAddress()', () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 4, minLength: 4 }), ipv6Bytes.map(toBytes)), (bytes) => {
        const text = formatAddress(bytes)
        assert.equal(net.isIP(text), bytes.length === 4 ? 4 : 6)
        assert.deepEqual(parseAddress(text), bytes)
      }),
    )
  })

  it('formatAddress() writes what Node writes', () => {
    fc.assert(
      fc.property(ipv6Bytes, (groups) => {
        // The platform writes ::a.b.c.d and ::ffff:a.b.c.d, which RFC 5952 §5 leaves open.
        fc.pre(groups.slice(0, 5).some((group) => group !== 0))
        assert.equal(formatAddress(toBytes(groups)), new URL(`http://[${formatAddress(toBytes(groups))}]`).hostname.slice(1, -1))
      }),
    )
  })

  it('parseAddress() takes what net.isIP() takes, and nothing else', () => {
    const texts = ['::ffff:10.0.0.1', '1::', '::', '1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7::', '10.0.0.1', '64:ff9b::192.0.2.33', 'FD00::A']
    for (const text of texts) assert.ok(parseAddress(text), text)
    const wrong = [
      '',
      ':',
      '1',
      '1.2.3',
      '1.2.3.256',
      '1.2.3.4.5',
      '1:2',
      ':::',
      '1::2::3',
      '1:2:3:4:5:6:7:8:9',
      'g::',
      '12345::',
      '::1.2.3',
      '1::2:3:4:5:6:7:8',
    ]
    for (const text of wrong) assert.equal(parseAddress(text), undefined, text)
  })

  it('isUnicast() refuses multicast, broadcast and unspecified addresses', () => {
    for (const text of ['224.0.0.1', '255.255.255.255', '0.0.0.0', 'ff02::1', '::'])
      assert.equal(isUnicast(parseAddress(text) ?? Uint8Array.of()), false, text)
    for (const text of ['10.96.0.1', '223.255.255.255', 'fd96::1', '::1'])
      assert.equal(isUnicast(parseAddress(text) ?? Uint8Array.of()), true, text)
  })
})
