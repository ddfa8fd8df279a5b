import dgram from 'node:dgram'
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import packet from 'dns-packet'
import { LengthPrefixReader, withLength } from '../../src/base/length-prefix.ts'

/** Zone of the name server: stands for the names of the Internet and of the host's VPN. */
export const PUBLIC = 'tpx-test.example'

const RECORDS: packet.Answer[] = [
  { type: 'A', name: `www.${PUBLIC}`, ttl: 30, data: '198.51.100.10' },
  { type: 'AAAA', name: `www.${PUBLIC}`, ttl: 30, data: '2001:db8::10' },
  { type: 'A', name: `only4.${PUBLIC}`, ttl: 30, data: '198.51.100.11' },
  { type: 'CNAME', name: `alias.${PUBLIC}`, ttl: 30, data: `www.${PUBLIC}` },
  { type: 'TXT', name: `text.${PUBLIC}`, ttl: 30, data: ['v=spf1 -all'] },
  { type: 'MX', name: PUBLIC, ttl: 30, data: { exchange: `mail.${PUBLIC}`, preference: 10 } },
  { type: 'SRV', name: `_ldap._tcp.${PUBLIC}`, ttl: 30, data: { port: 389, priority: 1, target: `www.${PUBLIC}`, weight: 2 } },
  ...Array.from({ length: 80 }, (_, i) => ({ type: 'A' as const, name: `many.${PUBLIC}`, ttl: 30, data: `198.51.100.${i + 20}` })),
]
/** Told to the host only, as a VPN's name server does. */
const OF_VPN: packet.Answer[] = [{ type: 'A', name: `intranet.${PUBLIC}`, ttl: 30, data: '10.20.30.40' }]
const SOA: packet.Answer = {
  type: 'SOA',
  name: PUBLIC,
  ttl: 1,
  data: { mname: `ns.${PUBLIC}`, rname: `admin.${PUBLIC}`, serial: 1, refresh: 60, retry: 60, expire: 60, minimum: 1 },
}

function answersFor(name: string, type: string, records: packet.Answer[]): { answers: packet.Answer[]; exists: boolean } {
  const own = records.filter((record) => record.name === name)
  const alias = own.find((record) => record.type === 'CNAME')
  if (alias && type !== 'CNAME')
    return { answers: [alias, ...answersFor((alias as packet.StringAnswer).data, type, records).answers], exists: true }
  return { answers: own.filter((record) => record.type === type), exists: own.length > 0 }
}

function answer(query: Buffer, peer: string, isHost: (peer: string) => boolean): Buffer {
  const { id = 0, questions = [] } = packet.decode(query)
  const [question] = questions
  const records = isHost(peer) ? [...RECORDS, ...OF_VPN] : RECORDS
  const { answers, exists } = answersFor(question?.name.toLowerCase() ?? '', question?.type ?? 'A', records)
  return packet.encode({
    answers,
    authorities: answers.length > 0 ? [] : [SOA],
    flags: packet.AUTHORITATIVE_ANSWER | packet.RECURSION_AVAILABLE | (exists || question?.name === '.' ? 0 : 3),
    id,
    questions,
    type: 'response',
  })
}

/** A name server on one address of this host. */
export type NameServer = AsyncDisposable & { asked: { name: string; peer: string }[]; port: number }

/** Who asks from one of this host's own addresses is told the names of the VPN, too. @param host an address that all can reach */
export async function startNameServer(host: string): Promise<NameServer> {
  const own = Object.values(networkInterfaces()).flatMap((addresses) => (addresses ?? []).map(({ address }) => address))
  const isHost = (peer: string): boolean => own.includes(peer)
  const asked: NameServer['asked'] = []
  const note = (query: Buffer, peer: string): void => {
    asked.push({ name: packet.decode(query).questions?.[0]?.name ?? '', peer })
  }
  const tcp = net.createServer((socket) => {
    const reader = new LengthPrefixReader()
    const peer = (socket.remoteAddress ?? '').replace('::ffff:', '')
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      for (const query of reader.push(chunk)) {
        note(query, peer)
        socket.write(withLength(answer(query, peer, isHost)))
      }
    })
  })
  tcp.listen({ host, port: 0 })
  await once(tcp, 'listening')
  const { port } = tcp.address() as AddressInfo
  const udp = dgram.createSocket('udp4')
  udp.on('message', (query, { address, port: from }) => {
    note(query, address)
    const whole = answer(query, address, isHost)
    const { id = 0, questions = [], additionals = [] } = packet.decode(query)
    const limit = Math.max(512, ...additionals.flatMap((record) => (record.type === 'OPT' ? [record.udpPayloadSize] : [])))
    const cut = packet.encode({ flags: packet.TRUNCATED_RESPONSE | packet.RECURSION_AVAILABLE, id, questions, type: 'response' })
    udp.send(whole.length > limit ? cut : whole, from, address)
  })
  udp.bind(port, host)
  await once(udp, 'listening')
  return {
    asked,
    port,
    async [Symbol.asyncDispose]() {
      udp.close()
      tcp.close()
    },
  }
}
