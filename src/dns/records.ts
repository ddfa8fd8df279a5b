// Resource records in wire format (RFC 1035 §4.1.3), read and written without decoding what is in them.
import { isIPv4 } from 'node:net'
import { CLASS_IN, TYPE } from './codes.ts'

/** Where the question's name begins in every message: what records point back to. */
const QUESTION_POINTER = Buffer.from([0xc0, 12])

/** One record's place in a message; offsets count from the message's begin. */
export type RecordPlace = { dataOffset: number; end: number; start: number; ttl: number; ttlOffset: number; type: number }

/** The offset behind a name. @throws RangeError when it runs over the message's end */
export function skipName(message: Buffer, offset: number): number {
  for (let at = offset; ;) {
    const length = message.readUInt8(at)
    if (length === 0) return at + 1
    if (length >= 0xc0) return at + 2
    at += 1 + length
  }
}

/** The record at an offset. @throws RangeError when it runs over the message's end */
export function recordAt(message: Buffer, start: number): RecordPlace {
  const at = skipName(message, start)
  const dataOffset = at + 10
  const end = dataOffset + message.readUInt16BE(at + 8)
  if (end > message.length) throw new RangeError('Record runs over the end of its message')
  return { dataOffset, end, start, ttl: message.readUInt32BE(at + 4), ttlOffset: at + 4, type: message.readUInt16BE(at) }
}

/** A name in wire format, lower case kept as given. The trailing dot may be there or not. */
export function encodeName(name: string): Buffer {
  const labels = name.replace(/\.$/, '').split('.')
  const parts = labels
    .filter((label) => label !== '')
    .map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label, 'latin1')]))
  return Buffer.concat([...parts, Buffer.from([0])])
}

/** The wire form of an IP address. @param address as node:net's isIP() takes it, without zone */
export function encodeAddress(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number))
  // 1::2 stands for as many zeros as are missing; the last four bytes may be written as an IPv4 address (RFC 4291 §2.2).
  const hex = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...four: string[]) =>
    [0, 2].map((i) => ((Number(four[i]) << 8) | Number(four[i + 1])).toString(16)).join(':'),
  )
  const [head = [], tail = []] = hex.split('::').map((part) => part.split(':').filter((group) => group !== ''))
  const zeros = Array<string>(8 - head.length - tail.length).fill('0')
  return Buffer.from([...head, ...zeros, ...tail].flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 255]))
}

/** A record of the Internet class; without an owner it belongs to the question's name. */
export function makeRecord(type: number, ttl: number, data: Uint8Array, owner: Uint8Array = QUESTION_POINTER): Buffer {
  const fixed = Buffer.allocUnsafe(10)
  fixed.writeUInt16BE(type, 0)
  fixed.writeUInt16BE(CLASS_IN, 2)
  fixed.writeUInt32BE(ttl, 4)
  fixed.writeUInt16BE(data.byteLength, 8)
  return Buffer.concat([owner, fixed, data])
}

/**
 * The SOA that makes a negative answer cacheable (RFC 2308 §3).
 * @param ttl seconds that the denial may be kept
 */
export function makeSoa(zone: string, ttl: number): Buffer {
  const numbers = Buffer.alloc(20)
  for (const [i, value] of [1, 7200, 1800, 86_400, ttl].entries()) numbers.writeUInt32BE(value, i * 4)
  const data = Buffer.concat([encodeName(`ns.dns.${zone}`), encodeName(`hostmaster.${zone}`), numbers])
  return makeRecord(TYPE.soa, ttl, data, encodeName(zone))
}

/**
 * Cuts concatenated uncompressed records (Manager.LookupDNS) into single ones. Records of `owner` become the question's, in the
 * spelling that the client used: short names and mixed case (draft-vixie-dnsext-dns0x20) come back as they were asked.
 * @param mostTtl seconds; longer times to live are cut to it
 * @throws RangeError when the bytes are no records
 */
export function splitRecords(records: Buffer, owner: string, mostTtl: number): { bytes: Buffer; type: number }[] {
  const wanted = encodeName(owner.toLowerCase())
  const result: { bytes: Buffer; type: number }[] = []
  for (let at = 0; at < records.length;) {
    const { end, ttl, ttlOffset, type } = recordAt(records, at)
    const name = records.subarray(at, ttlOffset - 4)
    const isOwner = Buffer.from(name.toString('latin1').toLowerCase(), 'latin1').equals(wanted)
    const ownerName = isOwner ? QUESTION_POINTER : name
    const bytes = Buffer.concat([ownerName, records.subarray(ttlOffset - 4, end)])
    bytes.writeUInt32BE(Math.min(ttl, mostTtl), ownerName.length + 4)
    result.push({ bytes, type })
    at = end
  }
  return result
}
