// Names as a Pod of the client's namespace would resolve them: the search list `NS.svc.DOMAIN svc.DOMAIN DOMAIN` with
// ndots:5 (Kubernetes: "DNS for Services and Pods"), asked side by side instead of one after the other.
import dnsPacket from 'dns-packet'
import { addressBytes } from '../wire/connection-id.ts'
import { type Answer, NXDOMAIN, type Question, type Resolve, SERVFAIL } from './dns-client.ts'

/** A looked-up name: rcode and the answer section as concatenated uncompressed wire records. */
export type LookupAnswer = { rcode: number; records: Buffer }

type Settings = { clusterDomain: string; resolve: Resolve }
const NDOTS = 5
/** Record types (IANA DNS parameters). */
const TYPE_A = 1
const TYPE_AAAA = 28

const labelsOf = (name: string): number => name.split('.').length
const isBelow = (name: string, domain: string): boolean => name === domain || name.endsWith(`.${domain}`)

/** Answers what the client asks for; `name` with or without trailing dot. */
export class NameLookup {
  readonly #settings: Settings

  /** @param settings `clusterDomain` without trailing dot */
  constructor(settings: Settings) {
    this.#settings = settings
  }

  /** Any record type by its number. Never rejects: a DNS that does not answer is SERVFAIL. */
  async lookup(name: string, type: number, namespace: string): Promise<LookupAnswer> {
    const asked = name.replace(/\.$/, '')
    const { answers, rcode } = await this.#find({ name: asked, type }, namespace)
    return { rcode, records: Buffer.concat(answers.map(encodeRecord)) }
  }

  /** IPv4 and IPv6 addresses (4 and 16 bytes) of a name; none when it does not exist. */
  async addresses(name: string, namespace: string): Promise<Buffer[]> {
    const asked = name.replace(/\.$/, '')
    const found = await Promise.all([TYPE_A, TYPE_AAAA].map((type) => this.#find({ name: asked, type }, namespace)))
    const records = found.flatMap(({ answers }) => answers)
    return records.flatMap((record) => (record.type === 'A' || record.type === 'AAAA' ? [addressBytes(record.data)] : []))
  }

  /** The names to try below the cluster's zone, in the order of a Pod's search list. */
  #candidates(name: string, namespace: string): string[] {
    const domain = this.#settings.clusterDomain
    if (isBelow(name.toLowerCase(), domain.toLowerCase()) || labelsOf(name) > NDOTS) return []
    if (name.toLowerCase().endsWith('.in-addr.arpa') || name.toLowerCase().endsWith('.ip6.arpa')) return []
    return [`${name}.${namespace}.svc.${domain}`, `${name}.svc.${domain}`, `${name}.${domain}`]
  }

  async #find(question: Question, namespace: string): Promise<Answer> {
    const candidates = this.#candidates(question.name, namespace)
    const answers = await Promise.all(candidates.map((name) => this.#ask({ ...question, name })))
    for (const [at, answer] of answers.entries()) {
      // NODATA (NOERROR without answer) also means that the name exists.
      if (answer.rcode === 0) return withOwner(answer, candidates[at]!, question.name)
    }

    const failed = answers.find(({ rcode }) => rcode !== NXDOMAIN)
    if (failed) return failed
    // A single label is never a name of the Internet: the root servers need not be asked.
    return candidates.length > 0 && labelsOf(question.name) === 1 ? { answers: [], rcode: NXDOMAIN } : this.#ask(question)
  }

  #ask(question: Question): Promise<Answer> {
    return this.#settings.resolve(question).catch(() => ({ answers: [], rcode: SERVFAIL }))
  }
}

/** Puts the name that was asked for in the place of the one that was found. */
function withOwner({ answers, rcode }: Answer, found: string, asked: string): Answer {
  const renamed = answers.map((record) => (record.name.toLowerCase() === found.toLowerCase() ? { ...record, name: asked } : record))
  return { answers: renamed, rcode }
}

/** dns-packet's encoder of one record, which its type declarations leave out. */
const encodeRecord = (record: dnsPacket.Answer): Buffer =>
  (dnsPacket as unknown as { answer: { encode(record: dnsPacket.Answer): Buffer } }).answer.encode(record)
