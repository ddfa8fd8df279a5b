// Messages and types in words, for people and for JSON.
import packet from 'dns-packet'
import { TYPE } from './codes.ts'

/** One record in presentation form (RFC 1035 §5.1). `ttl` in seconds. */
export type DescribedRecord = { data: string; name: string; ttl: number; type: string }

const RCODE_NAMES = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED']
const TYPE_NAMES = new Map<number, string>(Object.entries(TYPE).map(([name, number]) => [number, name.toUpperCase()]))

/** IANA's name of a response code. */
export function rcodeName(rcode: number): string {
  return RCODE_NAMES[rcode] ?? `RCODE${rcode}`
}

/** IANA's name of a record type, or RFC 3597's. */
export function typeName(type: number): string {
  return TYPE_NAMES.get(type) ?? `TYPE${type}`
}

/** A query for a name, which may be asked of anybody. @throws Error when the name or the type cannot be encoded */
export function makeQuery(name: string, type: string): Buffer {
  const opt = { type: 'OPT', name: '.', udpPayloadSize: 1232, flags: 0, options: [] } as unknown as packet.Answer
  return packet.encode({
    additionals: [opt],
    flags: packet.RECURSION_DESIRED,
    id: Math.floor(Math.random() * 0x10000),
    questions: [{ class: 'IN', name, type: type as packet.RecordType }],
    type: 'query',
  })
}

function dataOf(record: packet.Answer): string {
  const { data } = record as { data: unknown }
  if (record.type === 'SRV') return `${record.data.priority ?? 0} ${record.data.weight ?? 0} ${record.data.port} ${record.data.target}`
  if (record.type === 'MX') return `${record.data.preference ?? 0} ${record.data.exchange}`
  if (record.type === 'TXT')
    return [record.data]
      .flat()
      .map((text) => JSON.stringify(text.toString()))
      .join(' ')
  if (typeof data === 'string') return data
  return Buffer.isBuffer(data) ? `\\# ${data.length} ${data.toString('hex')}` : Object.values(data as object).join(' ')
}

/** Response code and answers of a message. @throws Error on garbage */
export function describe(message: Buffer): { rcode: string; records: DescribedRecord[] } {
  const { answers = [] } = packet.decode(message)
  const records = answers.map((record) => ({
    data: dataOf(record),
    name: record.name,
    ttl: (record as { ttl?: number }).ttl ?? 0,
    type: record.type.replace('UNKNOWN_', 'TYPE'),
  }))
  return { rcode: rcodeName(message.readUInt16BE(2) & 15), records }
}

/** The cause that a failure was answered with (RFC 8914), where it was. */
export function extendedErrorOf(message: Buffer): string | undefined {
  const opt = packet.decode(message).additionals?.find((record) => record.type === 'OPT')
  const option = (opt?.options as unknown as { code: number; data: Buffer }[] | undefined)?.find(({ code }) => code === 15)
  return option?.data.toString('utf8', 2)
}
