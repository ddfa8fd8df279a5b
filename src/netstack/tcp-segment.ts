// TCP header (RFC 9293 §3.1)
//  offset  bytes  field
//   0      2      source port
//   2      2      destination port
//   4      4      sequence number
//   8      4      acknowledgment number
//  12      1      header length in words << 4
//  13      1      flags
//  14      2      window
//  16      2      checksum
//  18      2      urgent pointer
import { encodeIpPacket, type IpPacket, type IpPacketFields, payloadChecksum, PROTOCOL } from './ip-packet.ts'

/** Control bits. @see RFC 9293 §3.1 */
export const TCP_FLAG = { ack: 0x10, fin: 0x01, rst: 0x04, syn: 0x02 } as const

const HEADER_BYTES = 20

/** The fields of a segment that decide whether a connection may begin. */
export type TcpSegment = {
  acknowledgmentNumber: number
  destinationPort: number
  flags: number
  /** SEG.SEQ; on a SYN the initial sequence number. */
  sequenceNumber: number
  sourcePort: number
}

/** Reads a segment's header; undefined when the packet carries no whole one. */
export function parseTcpSegment(packet: IpPacket): TcpSegment | undefined {
  const { payload, protocol } = packet
  if (protocol !== PROTOCOL.tcp || payload.length < HEADER_BYTES) return undefined
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length)
  return {
    acknowledgmentNumber: view.getUint32(8),
    destinationPort: view.getUint16(2),
    flags: view.getUint8(13),
    sequenceNumber: view.getUint32(4),
    sourcePort: view.getUint16(0),
  }
}

/** True for the segment that asks for a connection: SYN without ACK. */
export function isConnectionRequest({ flags }: TcpSegment): boolean {
  return (flags & (TCP_FLAG.syn | TCP_FLAG.ack | TCP_FLAG.rst)) === TCP_FLAG.syn
}

/**
 * The packet by which a host refuses a connection request: RST and ACK, SEG.ACK = SEG.SEQ + 1 (a SYN counts as one).
 * @see RFC 9293 §3.10.7.1
 */
export function encodeReset(request: IpPacket, { destinationPort, sequenceNumber, sourcePort }: TcpSegment): Uint8Array {
  const payload = new Uint8Array(HEADER_BYTES)
  const view = new DataView(payload.buffer)
  view.setUint16(0, destinationPort)
  view.setUint16(2, sourcePort)
  view.setUint32(8, (sequenceNumber + 1) >>> 0)
  view.setUint8(12, (HEADER_BYTES / 4) << 4)
  view.setUint8(13, TCP_FLAG.rst | TCP_FLAG.ack)
  const fields: IpPacketFields = { destination: request.source, payload, protocol: PROTOCOL.tcp, source: request.destination }
  view.setUint16(16, payloadChecksum(fields))
  return encodeIpPacket(fields)
}
