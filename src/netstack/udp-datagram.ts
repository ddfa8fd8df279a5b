// UDP header (RFC 768)
//  offset  bytes  field
//   0      2      source port
//   2      2      destination port
//   4      2      length of header and data
//   6      2      checksum, 0xffff where the sum is 0
import type { IpAddress } from './ip-address.ts'
import { encodeIpPacket, type IpPacket, type IpPacketFields, payloadChecksum, PROTOCOL } from './ip-packet.ts'

const HEADER_BYTES = 8

/** Most bytes of data that fit into one packet of the family. IPv4's header counts in its length, IPv6's does not. */
export const MAX_UDP_DATA = { 4: 0xffff - 20 - HEADER_BYTES, 6: 0xffff - HEADER_BYTES } as const

/** One datagram; `data` is a view of the packet. */
export type UdpDatagram = { data: Uint8Array; destinationPort: number; sourcePort: number }

/** Reads a datagram; undefined when the packet carries no whole one. */
export function parseUdpDatagram({ payload, protocol }: IpPacket): UdpDatagram | undefined {
  if (protocol !== PROTOCOL.udp || payload.length < HEADER_BYTES) return undefined
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length)
  const length = view.getUint16(4)
  if (length < HEADER_BYTES || length > payload.length) return undefined
  return { data: payload.subarray(HEADER_BYTES, length), destinationPort: view.getUint16(2), sourcePort: view.getUint16(0) }
}

/**
 * Builds the packet that carries a datagram.
 * @throws RangeError when the data does not fit into one packet
 */
export function encodeUdpDatagram(
  source: IpAddress,
  destination: IpAddress,
  { data, destinationPort, sourcePort }: UdpDatagram,
): Uint8Array {
  if (data.length > MAX_UDP_DATA[source.length === 16 ? 6 : 4])
    throw new RangeError(`Datagram of ${data.length} bytes exceeds one IP packet`)
  const payload = new Uint8Array(HEADER_BYTES + data.length)
  const view = new DataView(payload.buffer)
  view.setUint16(0, sourcePort)
  view.setUint16(2, destinationPort)
  view.setUint16(4, payload.length)
  payload.set(data, HEADER_BYTES)
  const fields: IpPacketFields = { destination, payload, protocol: PROTOCOL.udp, source }
  view.setUint16(6, payloadChecksum(fields) || 0xffff)
  return encodeIpPacket(fields)
}
