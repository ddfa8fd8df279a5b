import { EXTENDED_ERROR, TYPE } from './codes.ts'
import type { Query } from './query.ts'
import { recordAt, skipName } from './records.ts'

const HEADER = 12
const TRUNCATED = 0x0200
const KEPT_FROM_QUERY = 0x0110 // RD, CD
const RESPONSE_RA = 0x8080
const AUTHORITATIVE = 0x0400
const DNSSEC_OK = 0x8000
/** What this server can take itself over UDP (RFC 6891 §6.2.3; no fragments on a link that has an MTU of its own). */
const OWN_UDP_SIZE = 1232
const MOST_UDP_SIZE = 4096
const EXTENDED_ERROR_OPTION = 15

/** The cause of a failure, for people (RFC 8914). */
export type ExtendedError = { code: (typeof EXTENDED_ERROR)[keyof typeof EXTENDED_ERROR]; text: string }

/** An answer before it is addressed to one client. */
export type Reply = { answers?: Buffer[]; authorities?: Buffer[]; authoritative?: boolean; rcode: number }

/** A whole message without EDNS; {@link address} makes it fit for a client. */
export function encodeReply(query: Query, { answers = [], authorities = [], authoritative = false, rcode }: Reply): Buffer {
  const header = Buffer.alloc(HEADER)
  header.writeUInt16BE(query.id, 0)
  header.writeUInt16BE(RESPONSE_RA | (query.flags & KEPT_FROM_QUERY) | (authoritative ? AUTHORITATIVE : 0) | (rcode & 15), 2)
  header.writeUInt16BE(query.question.length === 0 ? 0 : 1, 4)
  header.writeUInt16BE(answers.length, 6)
  header.writeUInt16BE(authorities.length, 8)
  return Buffer.concat([header, query.question, ...answers, ...authorities])
}

/** The OPT record (RFC 6891 §6.1.2), with the upper bits of the response code and perhaps an Extended DNS Error. */
function encodeOpt(query: Query, rcode: number, failure: ExtendedError | undefined): Buffer {
  const text = Buffer.from(failure?.text.slice(0, 400) ?? '')
  const option = Buffer.alloc(failure ? 6 : 0)
  if (failure) {
    option.writeUInt16BE(EXTENDED_ERROR_OPTION, 0)
    option.writeUInt16BE(2 + text.length, 2)
    option.writeUInt16BE(failure.code, 4)
  }
  const fixed = Buffer.alloc(11)
  fixed.writeUInt16BE(TYPE.opt, 1)
  fixed.writeUInt16BE(OWN_UDP_SIZE, 3)
  fixed.writeUInt8(rcode >> 4, 5)
  fixed.writeUInt16BE(query.edns?.dnssecOk ? DNSSEC_OK : 0, 7)
  fixed.writeUInt16BE(option.length + text.length, 9)
  return Buffer.concat([fixed, option, text])
}

/** Addresses a message without EDNS to the client that asked: its id, its spelling, and OPT if it knows EDNS. */
export function address(message: Buffer, query: Query, options: { failure?: ExtendedError | undefined; rcode?: number } = {}): Buffer {
  const opt = query.edns ? encodeOpt(query, options.rcode ?? 0, options.failure) : Buffer.alloc(0)
  const result = Buffer.concat([message, opt])
  result.writeUInt16BE(query.id, 0)
  query.question.copy(result, HEADER)
  if (query.edns) result.writeUInt16BE(result.readUInt16BE(10) + 1, 10)
  return result
}

/** The message under another question. Only for messages whose names point to nothing but the question's name. */
export function withQuestion(message: Buffer, query: Query): Buffer {
  const end = skipName(message, HEADER) + 4
  return Buffer.concat([message.subarray(0, HEADER), query.question, message.subarray(end)])
}

/** Takes the OPT record off an upstream's answer: EDNS is between neighbours only. @throws RangeError on garbage */
export function withoutEdns(message: Buffer): Buffer {
  let at = HEADER
  for (let n = message.readUInt16BE(4); n > 0; n--) at = skipName(message, at) + 4
  for (let n = message.readUInt16BE(6) + message.readUInt16BE(8); n > 0; n--) at = recordAt(message, at).end
  const additionals = message.readUInt16BE(10)
  for (let n = 0; n < additionals; n++) {
    const { end, start, type } = recordAt(message, at)
    at = end
    if (type !== TYPE.opt) continue
    // What stands behind OPT is given up: names in it may point over the gap.
    const result = Buffer.from(message.subarray(0, start))
    result.writeUInt16BE(n, 10)
    return result
  }
  return Buffer.from(message.subarray(0, at))
}

/** The message as it may leave over UDP: whole, or with TC and nothing but the question and OPT (RFC 2181 §9). */
export function fitUdp(message: Buffer, query: Query): Buffer {
  const limit = Math.min(MOST_UDP_SIZE, Math.max(512, query.edns?.udpSize ?? 512))
  if (message.length <= limit) return message
  const empty = Buffer.concat([message.subarray(0, HEADER), query.question])
  empty.writeUInt16BE(empty.readUInt16BE(2) | TRUNCATED, 2)
  empty.fill(0, 6, HEADER)
  return address(empty, query)
}

/** The response code in a message's header. */
export function rcodeOf(message: Buffer): number {
  return message.readUInt16BE(2) & 15
}

/** The number of answer records. */
export function answerCount(message: Buffer): number {
  return message.readUInt16BE(6)
}

/** Tells a message that was cut off. */
export function isTruncated(message: Buffer): boolean {
  return (message.readUInt16BE(2) & TRUNCATED) !== 0
}

/** Tells whether a message answers a query: same id, and the response bit set. */
export function isResponseTo(query: Buffer, message: Buffer): boolean {
  return message.length >= HEADER && message.readUInt16BE(0) === query.readUInt16BE(0) && (message.readUInt16BE(2) & 0x8000) !== 0
}
