import packet from 'dns-packet'
import { RCODE, TYPE } from './codes.ts'
import type { Query } from './query.ts'
import { encodeAddress, encodeName, makeRecord } from './records.ts'
import { encodeReply, rcodeOf } from './reply.ts'

/** dns-packet's encoder of one record, uncompressed, which its type declarations leave out. */
const encodeRecord = (record: packet.Answer): Buffer =>
  (packet as unknown as { answer: { encode(record: packet.Answer): Buffer } }).answer.encode(record)

/** The answer and authority records of a message, each with its names in full, so that they may stand in another message. */
function recordsOf(message: Buffer): { answers: Buffer[]; authorities: Buffer[] } {
  const { answers = [], authorities = [] } = packet.decode(message)
  return { answers: answers.map(encodeRecord), authorities: authorities.map(encodeRecord) }
}

/**
 * A CNAME from the question's name to each of `names` in turn (RFC 1034 §3.6.2).
 * @param ttl seconds
 */
function chain(names: string[], ttl: number): Buffer[] {
  return names.map((name, i) => makeRecord(TYPE.cname, ttl, encodeName(name), i === 0 ? undefined : encodeName(names[i - 1] ?? '')))
}

/** The answer for a name that stands for another: the chain, and what `target` says about the last of it. */
export function aliasReply(query: Query, { names, target, ttl }: { names: string[]; target: Buffer; ttl: number }): Buffer {
  const { answers, authorities } = recordsOf(target)
  return encodeReply(query, { answers: [...chain(names, ttl), ...answers], authorities, rcode: rcodeOf(target) })
}

/** The answer for a name that stands for an address: none (NODATA) where another type was asked for. `names`: CNAMEs on the way. */
export function addressReply(
  query: Query,
  { address, names, soa, ttl }: { address: string; names: string[]; soa: Buffer; ttl: number },
): Buffer {
  const type = address.includes(':') ? TYPE.aaaa : TYPE.a
  const owner = names.length > 0 ? encodeName(names.at(-1) ?? '') : undefined
  const records = query.type === type ? [makeRecord(type, ttl, encodeAddress(address), owner)] : []
  const answers = query.type === TYPE.cname ? chain(names.slice(0, 1), ttl) : [...chain(names, ttl), ...records]
  return encodeReply(query, { answers, authorities: records.length > 0 ? [] : [soa], rcode: RCODE.ok })
}

/** The answer for the alias alone, where that is what was asked for. */
export function cnameReply(query: Query, name: string, ttl: number): Buffer {
  return encodeReply(query, { answers: chain([name], ttl), rcode: RCODE.ok })
}
