// ICMP (RFC 792) and ICMPv6 (RFC 4443 §2.1)
//  offset  bytes  field
//   0      1      type
//   1      1      code
//   2      2      checksum; with a pseudo header in version 6 only
//   4      4      unused in "destination unreachable"
//   8      …      the packet that failed, from its IP header on
// Echo request and reply (RFC 792, RFC 4443 §4) have the identifier at 4, the sequence number at 6, and any data from 8 on.
import { foldSum, sumWords } from './checksum.ts'
import type { IpAddress } from './ip-address.ts'
import { encodeIpPacket, type IpPacket, type IpPacketFields, payloadChecksum, PROTOCOL } from './ip-packet.ts'

/** Why a packet could not be delivered. */
export type UnreachableReason = 'host' | 'network' | 'port' | 'prohibited'

const HEADER_BYTES = 8
/** RFC 792 and RFC 1812 §5.2.7.1, "destination unreachable": type 3. RFC 4443 §3.1: type 1, where "address" is the host. */
const TYPE = { 4: 3, 6: 1 } as const
const CODE = { 4: { host: 1, network: 0, port: 3, prohibited: 13 }, 6: { host: 3, network: 0, port: 4, prohibited: 1 } } as const
/** How much of the failed packet is quoted, so that the error is no longer than RFC 1812 §4.3.2.3 and RFC 4443 §3.1 allow. */
export const MAX_QUOTE = { 4: 576 - 20 - HEADER_BYTES, 6: 1280 - 40 - HEADER_BYTES } as const
const ECHO_REQUEST = { 4: 8, 6: 128 } as const
const ECHO_REPLY = { 4: 0, 6: 129 } as const

/** Builds the error that a router sends for `failed`, as if from the host that it was sent to. */
export function encodeUnreachable(failed: IpPacket, reason: UnreachableReason): Uint8Array {
  const { version } = failed
  const quote = failed.bytes.subarray(0, MAX_QUOTE[version])
  const payload = new Uint8Array(HEADER_BYTES + quote.length)
  const view = new DataView(payload.buffer)
  payload.set(quote, HEADER_BYTES)
  view.setUint8(0, TYPE[version])
  view.setUint8(1, CODE[version][reason])
  return encodeMessage(failed.destination, failed.source, payload)
}

/** One ping, or the answer to it. `data` is a view of the packet. */
export type Echo = { data: Uint8Array; identifier: number; sequence: number }

/** Most bytes of data that fit into one packet of the family, as for UDP. */
export const MAX_ECHO_DATA = { 4: 0xffff - 20 - HEADER_BYTES, 6: 0xffff - HEADER_BYTES } as const

/** Reads a ping; undefined for everything else. @see RFC 792 "Echo", RFC 4443 §4.1 */
export function parseEchoRequest({ payload, protocol, version }: IpPacket): Echo | undefined {
  if (protocol !== (version === 6 ? PROTOCOL.icmpv6 : PROTOCOL.icmp) || payload.length < HEADER_BYTES) return undefined
  if (payload[0] !== ECHO_REQUEST[version] || payload[1] !== 0) return undefined
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length)
  return { data: payload.subarray(HEADER_BYTES), identifier: view.getUint16(4), sequence: view.getUint16(6) }
}

/**
 * Builds the answer to a ping.
 * @throws RangeError when the data does not fit into one packet
 */
export function encodeEchoReply(source: IpAddress, destination: IpAddress, { data, identifier, sequence }: Echo): Uint8Array {
  const payload = new Uint8Array(HEADER_BYTES + data.length)
  const view = new DataView(payload.buffer)
  view.setUint8(0, ECHO_REPLY[source.length === 16 ? 6 : 4])
  view.setUint16(4, identifier)
  view.setUint16(6, sequence)
  payload.set(data, HEADER_BYTES)
  return encodeMessage(source, destination, payload)
}

/** Puts the checksum into an ICMP message, and the message into a packet. */
function encodeMessage(source: IpAddress, destination: IpAddress, payload: Uint8Array): Uint8Array {
  const isIpv6 = source.length === 16
  const fields: IpPacketFields = { destination, payload, protocol: isIpv6 ? PROTOCOL.icmpv6 : PROTOCOL.icmp, source }
  new DataView(payload.buffer, payload.byteOffset).setUint16(2, isIpv6 ? payloadChecksum(fields) : foldSum(sumWords(payload)))
  return encodeIpPacket(fields)
}
