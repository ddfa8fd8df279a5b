// A stub resolver (RFC 1034 §5.3.1) for any record type; node:dns knows too few.
import { randomInt } from 'node:crypto'
import dgram from 'node:dgram'
import net from 'node:net'
import dnsPacket, { type DecodedPacket } from 'dns-packet'
import { TpxError } from '../base/error.ts'

/** Time for one try at one name server. */
const TRY_TIMEOUT_MS = 2_000
/** Times that the list of name servers is gone through. */
const ROUNDS = 2
/** EDNS buffer size that fits into one unfragmented datagram (DNS flag day 2020). */
const UDP_PAYLOAD = 1232

/** A DNS question; `type` is the number of the record type, `name` has no trailing dot. */
export type Question = { name: string; type: number }
/** One server's answer. `rcode` is the number (RFC 6895 §2.3). */
export type Answer = { answers: dnsPacket.Answer[]; rcode: number }
/** Asks the cluster's DNS. */
export type Resolve = (question: Question) => Promise<Answer>

const RCODES = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED']
/** Number of an answer for a name that does not exist. */
export const NXDOMAIN = 3
/** Number of an answer when no server could say. */
export const SERVFAIL = 2

function encodeQuery({ name, type }: Question, id: number): Buffer {
  return dnsPacket.encode({
    additionals: [
      { extendedRcode: 0, ednsVersion: 0, flag_do: false, flags: 0, name: '.', options: [], type: 'OPT', udpPayloadSize: UDP_PAYLOAD },
    ],
    flags: dnsPacket.RECURSION_DESIRED,
    id,
    // dns-packet takes "UNKNOWN_n" for any type n.
    questions: [{ class: 'IN', name, type: `UNKNOWN_${type}` as dnsPacket.RecordType }],
    type: 'query',
  })
}

function isAnswerTo(packet: DecodedPacket, id: number, { name }: Question): boolean {
  const asked = packet.questions?.[0]?.name
  return packet.id === id && packet.type === 'response' && asked?.toLowerCase() === name.toLowerCase()
}

/** @throws an error of the socket, or a time-out */
function askUdp(server: Server, question: Question): Promise<DecodedPacket> {
  const id = randomInt(65_536)
  const socket = dgram.createSocket(net.isIPv6(server.address) ? 'udp6' : 'udp4')
  const { promise, reject, resolve } = Promise.withResolvers<DecodedPacket>()
  const timer = setTimeout(() => reject(new Error('timed out')), server.timeoutMs)
  socket.on('error', reject).on('message', (message) => {
    const packet = tryDecode(message)
    if (packet && isAnswerTo(packet, id, question)) resolve(packet)
  })
  socket.connect(server.port, server.address, () => socket.send(encodeQuery(question, id)))
  return promise.finally(() => {
    clearTimeout(timer)
    socket.close()
  })
}

function tryDecode(message: Buffer): DecodedPacket | undefined {
  try {
    return dnsPacket.decode(message)
  } catch {
    return undefined
  }
}

/** @throws an error of the socket, or a time-out */
async function askTcp(server: Server, question: Question): Promise<DecodedPacket> {
  const id = randomInt(65_536)
  const socket = net.connect({ host: server.address, port: server.port, timeout: server.timeoutMs })
  socket.on('timeout', () => socket.destroy(new Error('timed out')))
  const query = encodeQuery(question, id)
  const length = Buffer.alloc(2)
  length.writeUInt16BE(query.length)
  socket.write(Buffer.concat([length, query]))
  try {
    let seen = Buffer.alloc(0)
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      seen = Buffer.concat([seen, chunk])
      if (seen.length < 2 || seen.length < 2 + seen.readUInt16BE()) continue
      const packet = dnsPacket.decode(seen.subarray(2, 2 + seen.readUInt16BE()))
      if (isAnswerTo(packet, id, question)) return packet
      break
    }
    throw new Error('no answer over TCP')
  } finally {
    socket.destroy()
  }
}

type Server = { address: string; port: number; timeoutMs: number }

/**
 * A resolver that asks the given servers in turn: UDP, then TCP where the answer was cut.
 * @param nameservers IP addresses, best first
 */
export function dnsClient(nameservers: string[], { port = 53, timeoutMs = TRY_TIMEOUT_MS } = {}): Resolve {
  return async (question) => {
    let cause: unknown
    for (let round = 0; round < ROUNDS; round++) {
      for (const address of nameservers) {
        try {
          const server = { address, port, timeoutMs }
          const packet = await askUdp(server, question)
          const whole = packet.flag_tc ? await askTcp(server, question) : packet
          const rcode = RCODES.indexOf((whole as { rcode?: string }).rcode ?? '')
          return { answers: whole.answers ?? [], rcode: rcode < 0 ? SERVFAIL : rcode }
        } catch (error) {
          cause = error
        }
      }
    }

    throw new TpxError('MANAGER_UNREACHABLE', `The cluster's DNS does not answer for "${question.name}"`, { cause })
  }
}
