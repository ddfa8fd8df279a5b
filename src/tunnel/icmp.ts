import { encodeUnreachable, type UnreachableReason } from '../netstack/icmp.ts'
import type { IpPacket } from '../netstack/ip-packet.ts'
import { encodeReset, type TcpSegment } from '../netstack/tcp-segment.ts'

const REASONS: Record<string, UnreachableReason> = { EHOSTUNREACH: 'host', ENETUNREACH: 'network' }
/** The far side may not send pings. */
const PROHIBITED = new Set(['EACCES', 'EPERM'])

/**
 * What the network would answer to a connection request that the far side turned down; undefined for silence.
 * @param code a system error code; one without a counterpart in the network makes the host unreachable
 */
export function answerRequest(request: IpPacket, segment: TcpSegment, code: string | undefined): Uint8Array | undefined {
  if (code === 'ECONNREFUSED') return encodeReset(request, segment)
  if (code === 'ETIMEDOUT') return undefined
  return encodeUnreachable(request, REASONS[code ?? ''] ?? 'host')
}

/** What the network would answer to a datagram; undefined for silence. */
export function answerDatagram(datagram: IpPacket, code: string | undefined): Uint8Array | undefined {
  const reason = code === 'ECONNREFUSED' ? 'port' : REASONS[code ?? '']
  return reason && encodeUnreachable(datagram, reason)
}

/** What the network would answer to a ping; undefined for silence. */
export function answerEcho(request: IpPacket, code: string | undefined): Uint8Array | undefined {
  const reason = PROHIBITED.has(code ?? '') ? 'prohibited' : REASONS[code ?? '']
  return reason && encodeUnreachable(request, reason)
}
