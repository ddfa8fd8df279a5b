// Runs in a container or a Pod: `node - QUESTIONS < bundle`. Asks the first name server of /etc/resolv.conf what QUESTIONS (JSON)
// say, as libc would where `search` is set, and prints the answers as JSON, without TTLs of records that count down.
import dgram from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { readFileSync } from 'node:fs'
import net from 'node:net'
import packet, { type DecodedPacket } from 'dns-packet'

/** `search`: go through the search list; else the name is taken as fully qualified. `libc`: getaddrinfo, which does as it likes. */
export type Question = { edns?: number; name: string; search?: boolean; server?: string; transport: 'libc' | 'tcp' | 'udp'; type: string }
/** What came of one question. `owner` is the name that was found, after the search list. */
export type Answered = {
  extendedError?: string
  ms: number
  owner: string
  rcode: string
  records: string[]
  truncated: boolean
}

const LIMIT_MS = 6000
const conf = readFileSync('/etc/resolv.conf', 'utf8').split('\n')
const words = (keyword: string): string[] =>
  conf
    .filter((line) => line.startsWith(`${keyword} `))
    .at(-1)
    ?.trim()
    .split(/\s+/)
    .slice(1) ?? []
const nameserver = conf.find((line) => line.startsWith('nameserver '))?.split(/\s+/)[1] ?? '127.0.0.1'
const ndots = Number(/ndots:(\d+)/.exec(words('options').join(' '))?.[1] ?? 1)

function candidates({ name, search }: Question): string[] {
  if (!search || name.endsWith('.')) return [name.replace(/\.$/, '')]
  const below = words('search').map((domain) => `${name}.${domain}`)
  return name.split('.').length - 1 >= ndots ? [name, ...below] : [...below, name]
}

function encode(name: string, { edns, type }: Question): Buffer {
  const opt = { type: 'OPT', name: '.', udpPayloadSize: edns, flags: 0, options: [] } as unknown as packet.Answer
  return packet.encode({
    type: 'query',
    id: Math.floor(Math.random() * 65_536),
    flags: packet.RECURSION_DESIRED,
    questions: [{ name, type: type as packet.RecordType }],
    ...(edns ? { additionals: [opt] } : {}),
  })
}

function exchangeUdp(server: string, message: Buffer): Promise<DecodedPacket> {
  const { promise, reject, resolve } = Promise.withResolvers<DecodedPacket>()
  const socket = dgram.createSocket(net.isIPv6(server) ? 'udp6' : 'udp4')
  const timer = setTimeout(() => reject(new Error('timeout')), LIMIT_MS)
  socket.on('error', reject).on('message', (answer) => resolve(packet.decode(answer)))
  socket.send(message, 53, server)
  return promise.finally(() => {
    clearTimeout(timer)
    socket.close()
  })
}

function exchangeTcp(server: string, message: Buffer): Promise<DecodedPacket> {
  const { promise, reject, resolve } = Promise.withResolvers<DecodedPacket>()
  const socket = net.connect({ host: server, port: 53, timeout: LIMIT_MS })
  let seen = Buffer.alloc(0)
  socket.on('data', (chunk) => {
    seen = Buffer.concat([seen, chunk])
    if (seen.length >= 2 && seen.length >= 2 + seen.readUInt16BE()) resolve(packet.decode(seen.subarray(2, 2 + seen.readUInt16BE())))
  })
  socket.on('error', reject).on('timeout', () => reject(new Error('timeout')))
  socket.write(Buffer.concat([Buffer.from([message.length >> 8, message.length & 255]), message]))
  return promise.finally(() => socket.destroy())
}

function textOf(record: packet.Answer): string {
  const { data } = record as { data: unknown }
  const text = Array.isArray(data) ? data.map(String).join('') : typeof data === 'string' ? data : JSON.stringify(data)
  return `${record.name.toLowerCase()} ${record.type} ${text}`
}

function extendedErrorOf(answer: DecodedPacket): string | undefined {
  const opt = answer.additionals?.find((record) => record.type === 'OPT')
  const option = (opt?.options as unknown as { code: number; data: Buffer }[] | undefined)?.find(({ code }) => code === 15)
  return option && `${option.data.readUInt16BE(0)} ${option.data.toString('utf8', 2)}`
}

async function askLibc({ name }: Question): Promise<Answered> {
  const began = performance.now()
  const result = await lookup(name, { all: true }).catch((error: NodeJS.ErrnoException) => error)
  const ms = Math.round((performance.now() - began) * 100) / 100
  if (result instanceof Error) return { ms, owner: name, rcode: result.code ?? result.message, records: [], truncated: false }
  return { ms, owner: name, rcode: 'NOERROR', records: result.map(({ address }) => address).sort(), truncated: false }
}

async function ask(question: Question): Promise<Answered> {
  if (question.transport === 'libc') return askLibc(question)
  const exchange = question.transport === 'udp' ? exchangeUdp : exchangeTcp
  const began = performance.now()
  let last: Answered | undefined
  for (const owner of candidates(question)) {
    const answer = await exchange(question.server ?? nameserver, encode(owner, question)).catch((error: Error) => error)
    const ms = Math.round((performance.now() - began) * 100) / 100
    if (answer instanceof Error) {
      last = { ms, owner, rcode: answer.message, records: [], truncated: false }
      continue
    }
    const extendedError = extendedErrorOf(answer)
    last = {
      ...(extendedError === undefined ? {} : { extendedError }),
      ms,
      owner,
      rcode: (answer as unknown as { rcode: string }).rcode,
      records: (answer.answers ?? []).map(textOf).sort(),
      truncated: answer.flag_tc,
    }
    if (last.records.length > 0) break
  }
  return last!
}

async function main(): Promise<void> {
  const questions = JSON.parse(process.argv[2] ?? '[]') as Question[]
  const answers: Answered[] = []
  for (const question of questions) answers.push(await ask(question))
  process.stdout.write(JSON.stringify({ answers, resolvConf: { nameserver, ndots, search: words('search') } }))
}

void main()
