import packet from 'dns-packet'
import { CLASS_IN, RCODE } from './codes.ts'
import { encodeName, skipName } from './records.ts'

const RESPONSE = 0x8000
const OPCODE = 0x7800
const HEADER = 12

/** What EDNS (RFC 6891) says in a query. */
export type Edns = { dnssecOk: boolean; udpSize: number }

/** A query, as far as answering it needs. */
export type Query = {
  edns: Edns | null
  /** Header flags as sent. */
  flags: number
  id: number
  /** Lower case, without the trailing dot; '' is the root. */
  name: string
  /** The question section as sent, so that the answer repeats its spelling. */
  question: Buffer
  type: number
}

/** A query that can only be answered with an error. */
export type BadQuery = { query: Query; rcode: number }

/** Reads the name of the question; names in a question are not compressed. */
function readName(message: Buffer, end: number): string {
  const labels: string[] = []
  for (let at = HEADER; at < end - 1;) {
    const length = message.readUInt8(at)
    if (length > 63) throw new RangeError('Compressed name in a question')
    labels.push(message.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return labels.join('.').toLowerCase()
}

function readEdns(message: Buffer): (Edns & { version: number }) | null {
  const found = packet.decode(message).additionals?.find((record) => record.type === 'OPT')
  if (!found) return null
  return { dnssecOk: (found.flags & packet.DNSSEC_OK) !== 0, udpSize: found.udpPayloadSize, version: found.ednsVersion }
}

/** The same query for another name or type: what has to be known on the way to its answer. */
export function relatedQuery(query: Query, { name = query.name, type = query.type }: { name?: string; type?: number }): Query {
  const fixed = Buffer.alloc(4)
  fixed.writeUInt16BE(type, 0)
  fixed.writeUInt16BE(CLASS_IN, 2)
  return { ...query, name: name.toLowerCase(), question: Buffer.concat([encodeName(name), fixed]), type }
}

/** Reads a message from a client: a query, one that deserves an error, or null for what gets no answer at all (RFC 5625 §4.1). */
export function parseQuery(message: Buffer): BadQuery | Query | null {
  if (message.length < HEADER || (message.readUInt16BE(2) & RESPONSE) !== 0) return null
  const query: Query = {
    edns: null,
    flags: message.readUInt16BE(2),
    id: message.readUInt16BE(0),
    name: '',
    question: Buffer.alloc(0),
    type: 0,
  }
  if ((query.flags & OPCODE) !== 0) return { query, rcode: RCODE.notImp }
  if (message.readUInt16BE(4) !== 1) return { query, rcode: RCODE.formErr }
  try {
    const end = skipName(message, HEADER)
    query.name = readName(message, end)
    query.type = message.readUInt16BE(end)
    query.question = Buffer.from(message.subarray(HEADER, end + 4))
    const edns = readEdns(message)
    query.edns = edns && { dnssecOk: edns.dnssecOk, udpSize: edns.udpSize }
    if (edns && edns.version > 0) return { query, rcode: RCODE.badVers }
    return message.readUInt16BE(end + 2) === CLASS_IN ? query : { query, rcode: RCODE.notImp }
  } catch {
    return { query: { ...query, question: Buffer.alloc(0) }, rcode: RCODE.formErr }
  }
}
