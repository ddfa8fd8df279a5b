import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { foldSum, sumWords } from '../../../src/netstack/checksum.ts'
import { encodeEchoReply, encodeUnreachable, parseEchoRequest } from '../../../src/netstack/icmp.ts'
import { encodeIpPacket, type IpPacket, parseIpPacket, payloadChecksum, PROTOCOL } from '../../../src/netstack/ip-packet.ts'
import { bytesOf, SYN4, SYN6, UDP4 } from './packets.ts'

function parsed(bytes: Uint8Array): IpPacket {
  const packet = parseIpPacket(bytes)
  assert.ok(packet)
  return packet
}

describe('icmp', () => {
  it('encodeUnreachable() writes the fields of RFC 792', () => {
    assert.deepEqual(
      encodeUnreachable(parsed(UDP4), 'port'),
      Uint8Array.of(
        ...bytesOf(`
          45 00 003a  // version, header words, type of service, total length 58
          0000 4000   // identification, don't fragment
          40 01       // time to live 64, protocol ICMP
          6a46        // header checksum
          0a60000a    // source: who was asked
          c6120001    // destination: who asked
          03          // type: destination unreachable
          03          // code: port unreachable
          cd95        // checksum
          00000000    // unused
        `),
        ...UDP4,
      ),
    )
  })

  it('encodeUnreachable() gives the codes of RFC 792 and RFC 4443 §3.1', () => {
    const typeAndCode = (bytes: Uint8Array, reason: Parameters<typeof encodeUnreachable>[1]): number[] => [
      ...parsed(encodeUnreachable(parsed(bytes), reason)).payload.subarray(0, 2),
    ]
    assert.deepEqual(typeAndCode(SYN4, 'network'), [3, 0])
    assert.deepEqual(typeAndCode(SYN4, 'host'), [3, 1])
    assert.deepEqual(typeAndCode(SYN4, 'port'), [3, 3])
    assert.deepEqual(typeAndCode(SYN6, 'network'), [1, 0])
    assert.deepEqual(typeAndCode(SYN6, 'host'), [1, 3])
    assert.deepEqual(typeAndCode(SYN6, 'port'), [1, 4])
  })

  it('encodeUnreachable() over IPv6 has the pseudo header in its checksum, over IPv4 it has not', () => {
    const ipv6 = parsed(encodeUnreachable(parsed(SYN6), 'host'))
    assert.equal(ipv6.protocol, PROTOCOL.icmpv6)
    assert.equal(payloadChecksum(ipv6), 0)
    assert.equal(foldSum(sumWords(parsed(encodeUnreachable(parsed(SYN4), 'host')).payload)), 0)
  })

  it('encodeUnreachable() is no longer than 576 bytes (RFC 1812) and 1280 bytes (RFC 4443)', () => {
    const long = (length: number): IpPacket =>
      parsed(
        encodeIpPacket({
          destination: new Uint8Array(length),
          payload: new Uint8Array(9000),
          protocol: 17,
          source: new Uint8Array(length),
        }),
      )
    assert.equal(encodeUnreachable(long(4), 'port').length, 576)
    assert.equal(encodeUnreachable(long(16), 'port').length, 1280)
  })

  it('encodeUnreachable() knows "administratively prohibited" of RFC 1812 and RFC 4443', () => {
    assert.deepEqual([...parsed(encodeUnreachable(parsed(SYN4), 'prohibited')).payload.subarray(0, 2)], [3, 13])
    assert.deepEqual([...parsed(encodeUnreachable(parsed(SYN6), 'prohibited')).payload.subarray(0, 2)], [1, 1])
  })

  it('parseEchoRequest() reads a ping of either version, and nothing else', () => {
    const packet = (length: number, protocol: number, payload: number[]): IpPacket =>
      parsed(
        encodeIpPacket({
          destination: new Uint8Array(length),
          payload: Uint8Array.from(payload),
          protocol,
          source: new Uint8Array(length),
        }),
      )
    const ping = (type: number, code = 0): number[] => [type, code, 0, 0, 0x12, 0x34, 0x00, 0x07, 9, 8]
    const expected = { data: Uint8Array.of(9, 8), identifier: 0x1234, sequence: 7 }
    assert.deepEqual(parseEchoRequest(packet(4, PROTOCOL.icmp, ping(8))), expected)
    assert.deepEqual(parseEchoRequest(packet(16, PROTOCOL.icmpv6, ping(128))), expected)
    assert.equal(parseEchoRequest(packet(4, PROTOCOL.icmp, ping(0))), undefined)
    assert.equal(parseEchoRequest(packet(4, PROTOCOL.icmp, ping(8, 1))), undefined)
    assert.equal(parseEchoRequest(packet(4, PROTOCOL.icmp, ping(8).slice(0, 7))), undefined)
    assert.equal(parseEchoRequest(packet(16, PROTOCOL.icmpv6, ping(8))), undefined)
    assert.equal(parseEchoRequest(parsed(UDP4)), undefined)
  })

  it('encodeEchoReply() answers with the same identifier, sequence number and data, and a checksum that is right', () => {
    for (const length of [4, 16]) {
      const [far, near] = [new Uint8Array(length).fill(1), new Uint8Array(length).fill(2)]
      const reply = parsed(encodeEchoReply(far, near, { data: Uint8Array.of(9, 8, 7), identifier: 0x1234, sequence: 7 }))
      assert.deepEqual([reply.source, reply.destination], [far, near])
      assert.deepEqual([...reply.payload.subarray(0, 2)], [length === 4 ? 0 : 129, 0])
      assert.deepEqual([...reply.payload.subarray(4)], [0x12, 0x34, 0, 7, 9, 8, 7])
      assert.equal(length === 4 ? foldSum(sumWords(reply.payload)) : payloadChecksum(reply), 0)
    }
  })
})
