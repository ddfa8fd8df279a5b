import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { foldSum, sumWords } from '../../../src/netstack/checksum.ts'
import { formatAddress } from '../../../src/netstack/ip-address.ts'
import { copyPacket, encodeIpPacket, parseIpPacket, payloadChecksum, PROTOCOL } from '../../../src/netstack/ip-packet.ts'
import { bytesOf, SYN4, SYN6, UDP4 } from './packets.ts'

const address = fc
  .oneof(fc.constant(4), fc.constant(16))
  .chain((length) =>
    fc.tuple(fc.uint8Array({ maxLength: length, minLength: length }), fc.uint8Array({ maxLength: length, minLength: length })),
  )

describe('ip-packet', () => {
  it('parseIpPacket() reads an IPv4 packet of the kernel', () => {
    const packet = parseIpPacket(SYN4)
    assert.ok(packet)
    assert.equal(packet.version, 4)
    assert.equal(packet.protocol, PROTOCOL.tcp)
    assert.equal(formatAddress(packet.source), '198.18.0.1')
    assert.equal(formatAddress(packet.destination), '10.96.0.10')
    assert.equal(packet.payload.length, 40)
  })

  it('parseIpPacket() walks the extension headers of IPv6', () => {
    const packet = parseIpPacket(SYN6)
    assert.ok(packet)
    assert.equal(packet.protocol, PROTOCOL.tcp)
    assert.equal(formatAddress(packet.source), 'fd00:7470::1')
    assert.equal(formatAddress(packet.destination), 'fd96::10')
    assert.equal(packet.payload.length, 20)
  })

  it('parseIpPacket() reads a packet that lies within a larger buffer', () => {
    const buffer = new Uint8Array(2000).fill(0xee)
    buffer.set(UDP4, 7)
    assert.deepEqual(parseIpPacket(buffer.subarray(7, 1000)), parseIpPacket(UDP4))
  })

  it('parseIpPacket() refuses fragments, but not an atomic one (RFC 6946)', () => {
    const fragment = (offset: number): Uint8Array => {
      const packet = UDP4.slice()
      new DataView(packet.buffer).setUint16(6, offset)
      return packet
    }
    assert.ok(parseIpPacket(fragment(0x4000)), "don't fragment")
    assert.equal(parseIpPacket(fragment(0x2000)), undefined, 'more fragments')
    assert.equal(parseIpPacket(fragment(0x00b9)), undefined, 'a later fragment')
    const ipv6 = (offsetAndFlags: string): Uint8Array =>
      bytesOf(`
        60000000 0010   // version 6, payload length 16
        2c 40           // next header: fragment (44), hop limit
        fd007470000000000000000000000001
        fd960000000000000000000000000010
        11 00           // next header: UDP, reserved
        ${offsetAndFlags} // offset and "more"
        00000001        // identification
        1388 0035 0008 0000 // datagram without data
      `)
    assert.equal(parseIpPacket(ipv6('0000'))?.protocol, PROTOCOL.udp)
    assert.equal(parseIpPacket(ipv6('0001')), undefined)
    assert.equal(parseIpPacket(ipv6('0008')), undefined)
  })

  it('parseIpPacket() never throws, and refuses every truncated packet', () => {
    for (const packet of [SYN4, SYN6, UDP4])
      for (let length = 0; length < packet.length; length++) assert.equal(parseIpPacket(packet.subarray(0, length)), undefined)
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void parseIpPacket(bytes)))
  })

  it('parseIpPacket() reverses encodeIpPacket()', () => {
    fc.assert(
      fc.property(address, fc.uint8Array({ maxLength: 3000 }), fc.constantFrom(6, 17, 58), ([source, destination], payload, protocol) => {
        const bytes = encodeIpPacket({ destination, payload, protocol, source })
        const packet = parseIpPacket(bytes)
        assert.deepEqual(
          packet && {
            bytes: packet.bytes,
            destination: packet.destination,
            payload: packet.payload,
            protocol: packet.protocol,
            source: packet.source,
          },
          { bytes, destination, payload, protocol, source },
        )
        if (source.length === 4) assert.equal(foldSum(sumWords(bytes.subarray(0, 20))), 0, 'header checksum')
      }),
    )
  })

  it('encodeIpPacket() refuses a payload that is too long', () => {
    const ipv4 = { destination: new Uint8Array(4), protocol: 17, source: new Uint8Array(4) }
    assert.equal(encodeIpPacket({ ...ipv4, payload: new Uint8Array(65_515) }).length, 65_535)
    assert.throws(() => encodeIpPacket({ ...ipv4, payload: new Uint8Array(65_516) }), RangeError)
    const ipv6 = { destination: new Uint8Array(16), protocol: 17, source: new Uint8Array(16) }
    assert.equal(encodeIpPacket({ ...ipv6, payload: new Uint8Array(65_535) }).length, 65_575)
    assert.throws(() => encodeIpPacket({ ...ipv6, payload: new Uint8Array(65_536) }), RangeError)
  })

  it('payloadChecksum() of a payload with its checksum is 0', () => {
    const packet = parseIpPacket(UDP4)
    assert.ok(packet)
    assert.equal(payloadChecksum(packet), 0)
  })

  it('copyPacket() does not share bytes with the buffer that it was read from', () => {
    const buffer = SYN6.slice()
    const packet = parseIpPacket(buffer)
    assert.ok(packet)
    const copy = copyPacket(packet)
    buffer.fill(0)
    assert.deepEqual(copy, parseIpPacket(SYN6))
  })

  it('copyPacket() keeps no more than it is asked for', () => {
    const packet = parseIpPacket(UDP4)
    assert.ok(packet)
    const { bytes, destination, payload, source } = copyPacket(packet, 28)
    assert.deepEqual(
      { bytes, destination, payload, source },
      { bytes: UDP4.slice(0, 28), destination: packet.destination, payload: UDP4.slice(20, 28), source: packet.source },
    )
  })
})
