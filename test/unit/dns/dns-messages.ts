import packet from 'dns-packet'
import { makeRecord, encodeName } from '../../../src/dns/records.ts'

/** A query as clients send it, made by dns-packet. */
export function makeQuery(name: string, type: string, options: { dnssecOk?: boolean; id?: number; udpSize?: number } = {}): Buffer {
  const opt = {
    type: 'OPT',
    name: '.',
    udpPayloadSize: options.udpSize ?? 1232,
    flags: options.dnssecOk ? packet.DNSSEC_OK : 0,
    options: [],
  }
  return packet.encode({
    type: 'query',
    id: options.id ?? 7,
    flags: packet.RECURSION_DESIRED,
    questions: [{ name, type: type as packet.RecordType, class: 'IN' }],
    ...(options.udpSize === undefined && !options.dnssecOk ? {} : { additionals: [opt as unknown as packet.Answer] }),
  })
}

/** Records as Manager.LookupDNS sends them. */
export function aRecords(owner: string, ...addresses: string[]): Buffer {
  return Buffer.concat(addresses.map((address) => makeRecord(1, 4, Buffer.from(address.split('.').map(Number)), encodeName(owner))))
}

/** Decodes; the answers in short. */
export function read(message: Buffer): {
  answers: string[]
  decoded: packet.DecodedPacket
  extendedError: string | undefined
  rcode: string
} {
  const decoded = packet.decode(message)
  const opt = decoded.additionals?.find((record) => record.type === 'OPT')
  const option = (opt?.options as unknown as { code: number; data: Buffer }[] | undefined)?.find(({ code }) => code === 15)
  return {
    answers: (decoded.answers ?? []).map(
      (record) => `${'name' in record ? record.name : ''} ${record.type} ${String((record as { data: unknown }).data)}`,
    ),
    decoded,
    extendedError: option && `${option.data.readUInt16BE(0)} ${option.data.toString('utf8', 2)}`,
    rcode: (decoded as unknown as { rcode: string }).rcode,
  }
}
