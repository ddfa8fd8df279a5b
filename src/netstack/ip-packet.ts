// IPv4 (RFC 791 §3.1)                     IPv6 (RFC 8200 §3)
//  offset  bytes  field                    offset  bytes  field
//   0      1      version, header words     0      4      version, traffic class, flow label
//   2      2      total length              4      2      payload length
//   6      2      flags, fragment offset    6      1      next header
//   8      1      time to live              7      1      hop limit
//   9      1      protocol                  8      16     source
//  10      2      header checksum          24      16     destination
//  12      4      source                   40      …      extension headers, then the payload
//  16      4      destination
import { foldSum, sumWords } from './checksum.ts'
import type { IpAddress } from './ip-address.ts'

/** Protocol numbers of IANA. */
export const PROTOCOL = { icmp: 1, icmpv6: 58, tcp: 6, udp: 17 } as const

const IPV4_HEADER_BYTES = 20
const IPV6_HEADER_BYTES = 40
const HOP_LIMIT = 64 // RFC 1700's recommended default
const DONT_FRAGMENT = 0x40
const MORE_FRAGMENTS = 0x2000
const FRAGMENT_OFFSET = 0x1fff

// Extension headers that may come before the payload, all with a length in 8-byte units. @see RFC 8200 §4.1
const HOP_BY_HOP = 0
const ROUTING = 43
const FRAGMENT = 44
const DESTINATION_OPTIONS = 60

/** An IP packet, cut up but not copied: every field is a view of `bytes`. */
export type IpPacket = {
  bytes: Uint8Array
  destination: IpAddress
  /** What the packet carries, behind all headers. */
  payload: Uint8Array
  protocol: number
  source: IpAddress
  version: 4 | 6
}

/** Cuts up a packet; undefined for what is no complete, unfragmented IP packet. Checksums are the kernel's work. */
export function parseIpPacket(bytes: Uint8Array): IpPacket | undefined {
  const version = (bytes[0] ?? 0) >> 4
  if (version === 4) return parseIpv4(bytes)
  return version === 6 ? parseIpv6(bytes) : undefined
}

function parseIpv4(bytes: Uint8Array): IpPacket | undefined {
  if (bytes.length < IPV4_HEADER_BYTES) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const headerBytes = (view.getUint8(0) & 15) * 4
  const totalBytes = view.getUint16(2)
  if (headerBytes < IPV4_HEADER_BYTES || totalBytes < headerBytes || totalBytes > bytes.length) return undefined
  if (view.getUint16(6) & (MORE_FRAGMENTS | FRAGMENT_OFFSET)) return undefined
  return {
    bytes: bytes.subarray(0, totalBytes),
    destination: bytes.subarray(16, 20),
    payload: bytes.subarray(headerBytes, totalBytes),
    protocol: view.getUint8(9),
    source: bytes.subarray(12, 16),
    version: 4,
  }
}

function parseIpv6(bytes: Uint8Array): IpPacket | undefined {
  if (bytes.length < IPV6_HEADER_BYTES) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const end = IPV6_HEADER_BYTES + view.getUint16(4)
  if (end > bytes.length) return undefined
  let protocol = view.getUint8(6)
  let at = IPV6_HEADER_BYTES
  while (protocol === HOP_BY_HOP || protocol === ROUTING || protocol === DESTINATION_OPTIONS || protocol === FRAGMENT) {
    if (at + 8 > end) return undefined
    const next = view.getUint8(at)
    // A fragment header with offset 0 and no more to come is an "atomic fragment" (RFC 6946): a whole packet.
    if (protocol === FRAGMENT && view.getUint16(at + 2) & 0xfff9) return undefined
    at += protocol === FRAGMENT ? 8 : 8 + view.getUint8(at + 1) * 8
    protocol = next
  }

  if (at > end) return undefined
  return {
    bytes: bytes.subarray(0, end),
    destination: bytes.subarray(24, 40),
    payload: bytes.subarray(at, end),
    protocol,
    source: bytes.subarray(8, 24),
    version: 6,
  }
}

/** A copy that outlives the reader's buffer; of a longer packet the first `maxBytes`, headers of at most 60 bytes included. */
export function copyPacket(packet: IpPacket, maxBytes: number = packet.bytes.length): IpPacket {
  const bytes = packet.bytes.slice(0, maxBytes)
  const view = (part: Uint8Array): Uint8Array => {
    const at = part.byteOffset - packet.bytes.byteOffset
    return bytes.subarray(at, at + part.length)
  }
  return { ...packet, bytes, destination: view(packet.destination), payload: view(packet.payload), source: view(packet.source) }
}

/** What goes into a new packet. Source and destination are of the same family. */
export type IpPacketFields = Pick<IpPacket, 'destination' | 'payload' | 'protocol' | 'source'>

/**
 * Builds a packet; the payload's own checksum must be in place already.
 * @throws RangeError when the payload does not fit into one packet
 */
export function encodeIpPacket({ destination, payload, protocol, source }: IpPacketFields): Uint8Array {
  const isIpv6 = source.length === 16
  const headerBytes = isIpv6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES
  if (payload.length + (isIpv6 ? 0 : headerBytes) > 0xffff) throw new RangeError(`Payload of ${payload.length} bytes exceeds one IP packet`)
  const packet = new Uint8Array(headerBytes + payload.length)
  const view = new DataView(packet.buffer)
  if (isIpv6) {
    view.setUint8(0, 0x60)
    view.setUint16(4, payload.length)
    view.setUint8(6, protocol)
    view.setUint8(7, HOP_LIMIT)
  } else {
    view.setUint8(0, 0x45)
    view.setUint16(2, packet.length)
    view.setUint8(6, DONT_FRAGMENT)
    view.setUint8(8, HOP_LIMIT)
    view.setUint8(9, protocol)
  }

  packet.set(source, isIpv6 ? 8 : 12)
  packet.set(destination, isIpv6 ? 24 : 16)
  if (!isIpv6) view.setUint16(10, foldSum(sumWords(packet.subarray(0, headerBytes))))
  packet.set(payload, headerBytes)
  return packet
}

/** Checksum of a TCP, UDP or ICMPv6 payload whose own field is zero, with the pseudo header. @see RFC 9293 §3.1, RFC 8200 §8.1 */
export function payloadChecksum({ destination, payload, protocol, source }: IpPacketFields): number {
  return foldSum(sumWords(payload, sumWords(source, sumWords(destination, protocol + payload.length))))
}
