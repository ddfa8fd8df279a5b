// ICMP (RFC 792) and ICMPv6 (RFC 4443 §2.1)
//  offset  bytes  field
//   0      1      type
//   1      1      code
//   2      2      checksum; with a pseudo header in version 6 only
//   4      4      unused in "destination unreachable"
//   8      …      the packet that failed, from its IP header on
import { foldSum, sumWords } from './checksum.ts'
import { encodeIpPacket, type IpPacket, type IpPacketFields, payloadChecksum, PROTOCOL } from './ip-packet.ts'

/** Why a packet could not be delivered. */
export type UnreachableReason = 'host' | 'network' | 'port'

const HEADER_BYTES = 8
/** RFC 792, "destination unreachable": type 3. RFC 4443 §3.1: type 1, where "address" is the host. */
const TYPE = { 4: 3, 6: 1 } as const
const CODE = { 4: { host: 1, network: 0, port: 3 }, 6: { host: 3, network: 0, port: 4 } } as const
/** How much of the failed packet is quoted, so that the error is no longer than RFC 1812 §4.3.2.3 and RFC 4443 §3.1 allow. */
export const MAX_QUOTE = { 4: 576 - 20 - HEADER_BYTES, 6: 1280 - 40 - HEADER_BYTES } as const
const ECHO_REQUEST = { 4: 8, 6: 128 } as const

/** Builds the error that a router sends for `failed`, as if from the host that it was sent to. */
export function encodeUnreachable(failed: IpPacket, reason: UnreachableReason): Uint8Array {
  const { version } = failed
  const quote = failed.bytes.subarray(0, MAX_QUOTE[version])
  const payload = new Uint8Array(HEADER_BYTES + quote.length)
  const view = new DataView(payload.buffer)
  payload.set(quote, HEADER_BYTES)
  view.setUint8(0, TYPE[version])
  view.setUint8(1, CODE[version][reason])
  const protocol = version === 6 ? PROTOCOL.icmpv6 : PROTOCOL.icmp
  const fields: IpPacketFields = { destination: failed.source, payload, protocol, source: failed.destination }
  view.setUint16(2, version === 6 ? payloadChecksum(fields) : foldSum(sumWords(payload)))
  return encodeIpPacket(fields)
}

/** True for a ping. @see RFC 792 "Echo", RFC 4443 §4.1 */
export function isEchoRequest({ payload, protocol, version }: IpPacket): boolean {
  return protocol === (version === 6 ? PROTOCOL.icmpv6 : PROTOCOL.icmp) && payload[0] === ECHO_REQUEST[version]
}
