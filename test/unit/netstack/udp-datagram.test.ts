import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { parseIpPacket, payloadChecksum } from '../../../src/netstack/ip-packet.ts'
import { encodeUdpDatagram, MAX_UDP_DATA, parseUdpDatagram } from '../../../src/netstack/udp-datagram.ts'
import { bytesOf, SYN4, UDP4 } from './packets.ts'

const SELF = Uint8Array.of(198, 18, 0, 1)
const PEER = Uint8Array.of(10, 96, 0, 10)
const data = new TextEncoder().encode('hi')

describe('udp-datagram', () => {
  it('parseUdpDatagram() reads a datagram', () => {
    const packet = parseIpPacket(UDP4)
    assert.ok(packet)
    assert.deepEqual(parseUdpDatagram(packet), { data, destinationPort: 53, sourcePort: 5000 })
  })

  it('parseUdpDatagram() refuses other protocols and lengths that cannot be', () => {
    const syn = parseIpPacket(SYN4)
    assert.ok(syn)
    assert.equal(parseUdpDatagram(syn), undefined)
    for (const length of [0, 7, 11]) {
      const bytes = UDP4.slice()
      new DataView(bytes.buffer).setUint16(24, length)
      const packet = parseIpPacket(bytes)
      assert.ok(packet)
      assert.equal(parseUdpDatagram(packet), undefined, `length ${length}`)
    }
  })

  it('encodeUdpDatagram() writes the fields of RFC 768', () => {
    assert.deepEqual(
      encodeUdpDatagram(PEER, SELF, { data, destinationPort: 5000, sourcePort: 53 }),
      bytesOf(`
        45 00 001e  // version, header words, type of service, total length 30
        0000 4000   // identification, don't fragment
        40 11       // time to live 64, protocol UDP
        6a52        // header checksum
        0a60000a    // source 10.96.0.10
        c6120001    // destination 198.18.0.1
        0035        // source port 53
        1388        // destination port 5000
        000a        // length 10
        b336        // checksum
        6869        // "hi"
      `),
    )
  })

  it('encodeUdpDatagram() never sends the checksum 0, which means "none" (RFC 768)', () => {
    // With these two bytes the sum of pseudo header and datagram is 0xffff, whose inverse is 0.
    const zeroSum = Uint8Array.of(0x1b, 0xa0)
    const bytes = encodeUdpDatagram(PEER, SELF, { data: zeroSum, destinationPort: 5000, sourcePort: 53 })
    assert.equal(new DataView(bytes.buffer).getUint16(26), 0xffff)
  })

  it('parseUdpDatagram() reverses encodeUdpDatagram(), and the checksum is good', () => {
    const port = fc.nat(0xffff)
    fc.assert(
      fc.property(fc.constantFrom(4, 16), fc.uint8Array({ maxLength: 5000 }), port, port, (length, data, sourcePort, destinationPort) => {
        const address = new Uint8Array(length).fill(0xab)
        const packet = parseIpPacket(encodeUdpDatagram(address, address, { data, destinationPort, sourcePort }))
        assert.ok(packet)
        assert.deepEqual(parseUdpDatagram(packet), { data, destinationPort, sourcePort })
        assert.equal(payloadChecksum(packet), 0)
      }),
    )
  })

  it('encodeUdpDatagram() takes the largest datagram of each family, and no larger one', () => {
    for (const [version, length] of [
      [4, 4],
      [6, 16],
    ] as const) {
      const address = new Uint8Array(length)
      const datagram = (size: number) => ({ data: new Uint8Array(size), destinationPort: 1, sourcePort: 1 })
      assert.ok(encodeUdpDatagram(address, address, datagram(MAX_UDP_DATA[version])))
      assert.throws(() => encodeUdpDatagram(address, address, datagram(MAX_UDP_DATA[version] + 1)), RangeError)
    }
  })
})
