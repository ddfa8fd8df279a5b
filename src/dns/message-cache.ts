import { RCODE, TYPE } from './codes.ts'
import { answerCount, isTruncated, rcodeOf } from './reply.ts'
import { recordAt, skipName } from './records.ts'

/** No answer is kept longer, seconds: a VPN that is switched on or off changes what the host's names mean. */
const MOST_TTL = 10

type Entry = { message: Buffer; storedAt: number; ttl: number; ttlOffsets: number[] }

/** Every TTL of a message, and how long the whole may be kept (RFC 2308 §5 for denials); 0 = not at all. */
function readTtls(message: Buffer): { ttl: number; ttlOffsets: number[] } {
  let at = skipName(message, 12) + 4
  const ttlOffsets: number[] = []
  const answers = answerCount(message)
  const count = answers + message.readUInt16BE(8) + message.readUInt16BE(10)
  let ttl = MOST_TTL
  let denialTtl = 0
  for (let n = 0; n < count; n++) {
    const record = recordAt(message, at)
    ttlOffsets.push(record.ttlOffset)
    if (n < answers) ttl = Math.min(ttl, record.ttl)
    // A denial lives as long as the SOA's TTL and its last number both allow.
    else if (record.type === TYPE.soa) denialTtl = Math.min(record.ttl, message.readUInt32BE(record.end - 4))
    at = record.end
  }

  const isDenial = rcodeOf(message) === RCODE.nxDomain || answers === 0
  return { ttl: isDenial ? Math.min(ttl, denialTtl) : ttl, ttlOffsets }
}

/** Answers that may be given again, each for as long as its own TTL says. */
export class MessageCache {
  readonly #capacity: number
  readonly #entries = new Map<string, Entry>()
  readonly #now: () => number

  /** @param options `now`: a clock in milliseconds; `capacity`: how many answers are kept */
  constructor(options: { capacity?: number; now: () => number }) {
    this.#capacity = options.capacity ?? 2000
    this.#now = options.now
  }

  /** The answer with its TTLs counted down, or undefined. */
  get(key: string): Buffer | undefined {
    const entry = this.#entries.get(key)
    if (!entry) return undefined
    const age = Math.floor((this.#now() - entry.storedAt) / 1000)
    if (age >= entry.ttl) {
      this.#entries.delete(key)
      return undefined
    }

    const message = Buffer.from(entry.message)
    for (const offset of entry.ttlOffsets) message.writeUInt32BE(Math.max(0, message.readUInt32BE(offset) - age), offset)
    return message
  }

  /** Keeps an answer if it may be kept: NOERROR or NXDOMAIN, whole, and with a TTL. */
  put(key: string, message: Buffer): void {
    const rcode = rcodeOf(message)
    if ((rcode !== RCODE.ok && rcode !== RCODE.nxDomain) || isTruncated(message)) return
    const { ttl, ttlOffsets } = readTtls(message)
    if (ttl <= 0) return
    this.#entries.delete(key)
    this.#entries.set(key, { message, storedAt: this.#now(), ttl, ttlOffsets })
    if (this.#entries.size > this.#capacity) this.#entries.delete(this.#entries.keys().next().value ?? '')
  }

  clear(): void {
    this.#entries.clear()
  }
}
