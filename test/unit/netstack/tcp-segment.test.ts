import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { encodeIpPacket, parseIpPacket, payloadChecksum, PROTOCOL } from '../../../src/netstack/ip-packet.ts'
import { encodeReset, isConnectionRequest, parseTcpSegment, TCP_FLAG } from '../../../src/netstack/tcp-segment.ts'
import { bytesOf, SYN4, SYN6, UDP4 } from './packets.ts'

function parsed(bytes: Uint8Array) {
  const packet = parseIpPacket(bytes)
  assert.ok(packet)
  const segment = parseTcpSegment(packet)
  assert.ok(segment)
  return { packet, segment }
}

describe('tcp-segment', () => {
  it('parseTcpSegment() reads a SYN', () => {
    assert.deepEqual(parsed(SYN4).segment, {
      acknowledgmentNumber: 0,
      destinationPort: 80,
      flags: TCP_FLAG.syn,
      sequenceNumber: 0xfffffffe,
      sourcePort: 40_000,
    })
  })

  it('parseTcpSegment() refuses other protocols and cut headers', () => {
    const datagram = parseIpPacket(UDP4)
    assert.ok(datagram)
    assert.equal(parseTcpSegment(datagram), undefined)
    const cut = parseIpPacket(encodeIpPacket({ ...datagram, payload: new Uint8Array(19), protocol: PROTOCOL.tcp }))
    assert.ok(cut)
    assert.equal(parseTcpSegment(cut), undefined)
  })

  it('isConnectionRequest() is true for SYN without ACK or RST, with or without the bits of ECN', () => {
    const { segment } = parsed(SYN4)
    const isRequest = (flags: number): boolean => isConnectionRequest({ ...segment, flags })
    assert.ok(isRequest(0x02))
    assert.ok(isRequest(0xc2), 'ECN set-up (RFC 3168 §6.1.1)')
    for (const flags of [0x12, 0x10, 0x04, 0x06, 0x11, 0x01, 0x00]) assert.equal(isRequest(flags), false, flags.toString(16))
  })

  it('encodeReset() answers a SYN over IPv4 as RFC 9293 §3.10.7.1 says', () => {
    const { packet, segment } = parsed(SYN4)
    assert.deepEqual(
      encodeReset(packet, segment),
      bytesOf(`
        45 00 0028  // version, header words, type of service, total length 40
        0000 4000   // identification, don't fragment
        40 06       // time to live 64, protocol TCP
        6a53        // header checksum
        0a60000a    // source: the SYN's destination
        c6120001    // destination: the SYN's source
        0050        // source port 80
        9c40        // destination port 40000
        00000000    // sequence number 0
        ffffffff    // acknowledgment number: the SYN's sequence number + 1
        50          // header of 5 words
        14          // flags: RST, ACK
        0000        // window
        42c3        // checksum
        0000        // urgent pointer
      `),
    )
  })

  it('encodeReset() answers a SYN over IPv6', () => {
    const { packet, segment } = parsed(SYN6)
    assert.deepEqual(
      encodeReset(packet, segment),
      bytesOf(`
        60000000    // version 6, traffic class, flow label
        0014        // payload length 20
        06 40       // next header TCP, hop limit 64
        fd960000000000000000000000000010 // source
        fd007470000000000000000000000001 // destination
        0050 9c40   // ports
        00000000    // sequence number 0
        00000011    // acknowledgment number
        50 14       // header of 5 words; RST, ACK
        0000        // window
        a416        // checksum
        0000        // urgent pointer
      `),
    )
  })

  it('encodeReset() acknowledges exactly the SYN, modulo 2^32, with a good checksum', () => {
    fc.assert(
      fc.property(fc.nat(0xffffffff), fc.nat(0xffff), fc.nat(0xffff), (sequenceNumber, sourcePort, destinationPort) => {
        const { packet, segment } = parsed(SYN4)
        const answer = parsed(encodeReset(packet, { ...segment, destinationPort, sequenceNumber, sourcePort }))
        assert.equal(answer.segment.acknowledgmentNumber, (sequenceNumber + 1) % 2 ** 32)
        assert.deepEqual([answer.segment.sourcePort, answer.segment.destinationPort], [destinationPort, sourcePort])
        assert.equal(payloadChecksum(answer.packet), 0)
      }),
    )
  })
})
