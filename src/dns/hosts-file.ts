import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { RCODE, TYPE } from './codes.ts'
import { reverseAddress } from './name-plan.ts'
import type { Query } from './query.ts'
import { encodeAddress, encodeName, makeRecord, makeSoa } from './records.ts'
import { encodeReply } from './reply.ts'

/** Seconds: the file may be edited at any time. */
const TTL = 2
/** How long what was read is believed in, milliseconds. */
const FRESH_MS = 1000

type Entries = { addresses: Map<string, string[]>; names: Map<string, string> }

/** Where this system keeps its hosts file. */
export function hostsFilePath(): string {
  return process.platform === 'win32'
    ? join(process.env['SystemRoot'] ?? 'C:\\Windows', 'System32', 'drivers', 'etc', 'hosts')
    : '/etc/hosts'
}

const isLoopback = (address: string): boolean => address.startsWith('127.') || /^(?:0*:)*:?0*1$/.test(address)

/** An address's bytes as a key, because one IPv6 address has many spellings. */
const keyOf = (address: string): string => encodeAddress(address).toString('hex')

/**
 * Reads a hosts file (hosts(5)). Loopback addresses are left out: in another network namespace they would mean another machine.
 */
export function parseHosts(text: string): Entries {
  const entries: Entries = { addresses: new Map(), names: new Map() }
  for (const line of text.split('\n')) {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().toLowerCase().split(/\s+/)
    if (!isIP(address) || address.includes('%') || isLoopback(address)) continue
    for (const name of names) entries.addresses.set(name, [...(entries.addresses.get(name) ?? []), address])
    if (names[0] && !entries.names.has(keyOf(address))) entries.names.set(keyOf(address), names[0])
  }
  return entries
}

function reply(query: Query, type: number, data: Buffer[]): Buffer {
  const answers = data.map((one) => makeRecord(type, TTL, one))
  return encodeReply(query, { answers, authorities: answers.length > 0 ? [] : [makeSoa('', TTL)], rcode: RCODE.ok })
}

/** Answers from a hosts file, read anew when it may have changed. */
export class HostsFile {
  readonly #path: string
  #entries: Promise<Entries> | undefined
  #until = 0

  constructor(path: string) {
    this.#path = path
  }

  /** The answer where the file has the name (A, AAAA) or the address (PTR); undefined where it has nothing to say. Never rejects. */
  async answer(query: Query): Promise<Buffer | undefined> {
    const { addresses, names } = await this.#read()
    if (query.type === TYPE.ptr) {
      const address = reverseAddress(query.name)
      const name = address && names.get(keyOf(address))
      return name ? reply(query, TYPE.ptr, [encodeName(name)]) : undefined
    }

    const found = addresses.get(query.name)
    if (!found || (query.type !== TYPE.a && query.type !== TYPE.aaaa)) return undefined
    const family = query.type === TYPE.a ? 4 : 6
    return reply(
      query,
      query.type,
      found.filter((address) => isIP(address) === family).map((address) => encodeAddress(address)),
    )
  }

  #read(): Promise<Entries> {
    if (this.#entries && performance.now() < this.#until) return this.#entries
    this.#until = performance.now() + FRESH_MS
    this.#entries = readFile(this.#path, 'utf8').then(parseHosts, () => parseHosts(''))
    return this.#entries
  }
}
