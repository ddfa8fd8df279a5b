import { addressReply, aliasReply, cnameReply } from './alias.ts'
import { CLUSTER_TYPES, EXTENDED_ERROR, RCODE, TYPE } from './codes.ts'
import { MessageCache } from './message-cache.ts'
import { type NamePlan, planName, planUnmapped, type Zone } from './name-plan.ts'
import { parseQuery, type Query, relatedQuery } from './query.ts'
import { makeRecord, makeSoa, splitRecords } from './records.ts'
import { address, answerCount, encodeReply, type ExtendedError, rcodeOf, withoutEdns, withQuestion } from './reply.ts'
import { messageOf, TpxError } from '../base/error.ts'

/**
 * Seconds that an answer or a denial of the cluster lives, at most: long enough for one look-up with a search list, short for a
 * Service that is made or made anew.
 */
const CLUSTER_TTL = 2
const MAPPING_TTL = 2
const LOOPBACK_TTL = 600

/** An answer of the cluster's DNS: uncompressed records, one after the other. */
export type ClusterAnswer = { rcode: number; records: Buffer }

/** An answer from outside of the cluster, and who gave it, in words. */
export type HostAnswer = { from: string; message: Buffer }

/** What the resolver asks. Both reject when there is no answer; the error's text is shown to whoever asked. */
export type Upstreams = {
  /** @param name fully qualified, with the trailing dot */
  cluster: (name: string, type: number) => Promise<ClusterAnswer>
  /** Exchanges whole messages with the host's resolver. */
  host: (message: Buffer) => Promise<HostAnswer>
}

/** One question that was put to somebody else. `rcode` is null where no answer came: `error` says why. */
export type Asked = { error?: string; from: string; isCached: boolean; ms: number; name: string; rcode: number | null; type: number }

/** What a query came to. */
type Outcome = { asked: Asked[]; extended?: ExtendedError; isFailure?: true; message: Buffer }

/** How a query was answered; `message` is the whole answer. */
export type Explanation = {
  asked: Asked[]
  extended: ExtendedError | undefined
  isCached: boolean
  message: Buffer
  query: Query
  rule: string
}

/** Answers DNS messages: decides where a name lives, asks there, and keeps what may be kept. */
export class Resolver {
  readonly #cache: MessageCache
  readonly #inFlight = new Map<string, Promise<Outcome>>()
  readonly #listeners = new Set<(explanation: Explanation) => void>()
  readonly #upstreams: Upstreams
  readonly #zone: () => Zone
  /** What was asked for before {@link forget} is not kept after it. */
  #generation = 0

  /** @param options `zone` is asked anew for every query; `now` is a clock in milliseconds */
  constructor(options: { now?: () => number; upstreams: Upstreams; zone: () => Zone }) {
    this.#cache = new MessageCache({ now: options.now ?? (() => performance.now()) })
    this.#upstreams = options.upstreams
    this.#zone = options.zone
  }

  /** Forgets all answers: the cluster behind the names may be another one. */
  forget(): void {
    this.#generation++
    this.#inFlight.clear()
    this.#cache.clear()
  }

  /** Calls for every query that is answered from now on; answers how to stop it. */
  onAnswer(listener: (explanation: Explanation) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** The query (null where it is none) and the whole answer; fitting it into a datagram is the server's business. Never rejects. */
  async answer(message: Buffer): Promise<{ message: Buffer; query: Query } | null> {
    const explanation = await this.explain(message)
    if (explanation) for (const listener of this.#listeners) listener(explanation)
    return explanation
  }

  /** As {@link answer}, with how it came to it. */
  async explain(message: Buffer): Promise<Explanation | null> {
    const parsed = parseQuery(message)
    if (parsed === null) return null
    if ('rcode' in parsed) return this.#refuse(parsed.query, parsed.rcode)
    try {
      const plan = planName(parsed.name, parsed.type, this.#zone())
      const { asked, extended, isCached, message } = await this.#resolve(parsed, plan)
      const whole = address(message, parsed, { failure: extended, rcode: rcodeOf(message) })
      return { asked, extended, isCached, message: whole, query: parsed, rule: plan.rule }
    } catch {
      return this.#refuse(parsed, RCODE.servFail)
    }
  }

  #refuse(query: Query, rcode: number): Explanation {
    const message = address(encodeReply(query, { rcode }), query, { rcode })
    return { asked: [], extended: undefined, isCached: false, message, query, rule: 'a query that cannot be answered' }
  }

  /** From the cache, from a look-up that runs already, or anew. What is made up here is made anew each time. */
  async #resolve(query: Query, plan: NamePlan): Promise<Outcome & { isCached: boolean }> {
    switch (plan.kind) {
      case 'absent':
        return { asked: [], isCached: false, ...this.#deny(query, plan) }
      case 'alias':
        return { ...(await this.#followAlias(query, plan)), isCached: false }
      case 'loopback':
        return { asked: [], isCached: false, message: loopbackReply(query) }
      case 'cluster-or-host':
        return { ...(await this.#askBoth(query, plan.name)), isCached: false }
      case 'cluster':
        return this.#askOnce(query, 'cluster', () => this.#askCluster(query, plan))
      case 'host':
        return this.#askOnce(query, 'host', () => this.#askHost(query))
    }
  }

  async #askOnce(query: Query, where: 'cluster' | 'host', ask: () => Promise<Outcome>): Promise<Outcome & { isCached: boolean }> {
    const key = `${where} ${query.name} ${query.type} ${query.flags & 0x0110} ${query.edns?.dnssecOk ?? false}`
    const known = this.#cache.get(key)
    if (known) {
      const { name, type } = query
      return { asked: [{ from: where, isCached: true, ms: 0, name, rcode: rcodeOf(known), type }], isCached: true, message: known }
    }

    const running = this.#inFlight.get(key)
    if (running) return { ...(await running), isCached: false }
    const generation = this.#generation
    const look = ask()
      .then((outcome) => {
        if (!outcome.isFailure && generation === this.#generation) this.#cache.put(key, outcome.message)
        return outcome
      })
      .finally(() => {
        if (this.#inFlight.get(key) === look) this.#inFlight.delete(key)
      })
    this.#inFlight.set(key, look)
    return { ...(await look), isCached: false }
  }

  #deny(query: Query, { isFiltered, rule }: { isFiltered: boolean; rule: string }): Pick<Outcome, 'extended' | 'message'> {
    const message = encodeReply(query, { rcode: RCODE.nxDomain, authorities: [makeSoa('', CLUSTER_TTL)] })
    return isFiltered ? { extended: { code: EXTENDED_ERROR.filtered, text: rule }, message } : { message }
  }

  async #followAlias(query: Query, plan: { address: string | null; names: string[] }): Promise<Outcome> {
    const { address, names } = plan
    const soa = makeSoa('', MAPPING_TTL)
    if (address !== null) return { asked: [], message: addressReply(query, { address, names, soa, ttl: MAPPING_TTL }) }
    const target = names.at(-1) ?? ''
    if (query.type === TYPE.cname) return { asked: [], message: cnameReply(query, names[0] ?? '', MAPPING_TTL) }
    const related = relatedQuery(query, { name: target })
    const outcome = await this.#resolve(related, planUnmapped(target, query.type, this.#zone()))
    const { asked, extended, isFailure, message } = outcome
    if (isFailure) return { ...failed(query, extended!), asked }
    return { asked, message: aliasReply(query, { names, target: message, ttl: MAPPING_TTL }), ...(extended ? { extended } : {}) }
  }

  async #askBoth(query: Query, name: string): Promise<Outcome> {
    // By its full name, so that it shares cache and look-up with the search list's own question.
    const related = relatedQuery(query, { name })
    const inCluster = await this.#resolve(related, { kind: 'cluster', name, rule: '' })
    const clusterSays: Outcome = { ...inCluster, message: withQuestion(inCluster.message, query) }
    if (!inCluster.isFailure && rcodeOf(inCluster.message) === RCODE.ok) return clusterSays
    const onHost = await this.#resolve(query, { kind: 'host', rule: '' })
    const asked = [...inCluster.asked, ...onHost.asked]
    // A cluster that is away must not take the host's names with it, and neither upstream's absence may pass for a denial.
    if (!onHost.isFailure && rcodeOf(onHost.message) === RCODE.ok) return { asked, message: onHost.message }
    const failure = (inCluster.isFailure && inCluster.extended) || (onHost.isFailure && onHost.extended)
    return failure ? { ...failed(query, failure), asked } : { ...clusterSays, asked }
  }

  async #askCluster(query: Query, { name, orAbsent }: { name: string; orAbsent?: true }): Promise<Outcome> {
    if (!CLUSTER_TYPES.has(query.type)) return this.#askExistence(query)
    const began = performance.now()
    const asked = { from: 'cluster', isCached: false, name, type: query.type }
    let answer: ClusterAnswer
    try {
      answer = await this.#upstreams.cluster(`${name}.`, query.type)
    } catch (error) {
      const text = reasonOf(error)
      const steps = [{ ...asked, error: text, ms: since(began), rcode: null }]
      if (orAbsent) return { ...failed(query, { code: EXTENDED_ERROR.noReachableAuthority, text }, RCODE.nxDomain), asked: steps }
      return { ...failed(query, { code: EXTENDED_ERROR.noReachableAuthority, text }), asked: steps }
    }

    const steps: Asked[] = [{ ...asked, ms: since(began), rcode: answer.rcode }]
    const records = splitRecords(answer.records, name, CLUSTER_TTL)
    const isAnswer = ({ type }: { type: number }): boolean => type !== TYPE.soa || query.type === TYPE.soa
    const answers = records.filter((record) => isAnswer(record)).map(({ bytes }) => bytes)
    const soas = records.filter((record) => !isAnswer(record)).map(({ bytes }) => bytes)
    let { rcode } = answer
    // "No such name" for AAAA beside an A would make some resolvers (musl) forget the A.
    if (rcode === RCODE.nxDomain && query.type === TYPE.aaaa && (await this.#addressesOf(query)).exists) rcode = RCODE.ok
    if (answers.length === 0 && soas.length === 0) soas.push(makeSoa(this.#zone().clusterDomain, CLUSTER_TTL))
    const authorities = answers.length === 0 ? soas : []
    return { asked: steps, message: encodeReply(query, { answers, authorities, authoritative: true, rcode }) }
  }

  /** A type that the cluster does not serve (HTTPS, CAA, ANY): no data where the name exists, and a denial where it does not. */
  async #askExistence(query: Query): Promise<Outcome> {
    const { exists, outcome } = await this.#addressesOf(query)
    if (outcome.isFailure) return { ...failed(query, outcome.extended!), asked: outcome.asked }
    const authorities = [makeSoa(this.#zone().clusterDomain, CLUSTER_TTL)]
    const rcode = exists ? RCODE.ok : rcodeOf(outcome.message)
    return { asked: outcome.asked, message: encodeReply(query, { authorities, authoritative: true, rcode }) }
  }

  async #addressesOf(query: Query): Promise<{ exists: boolean; outcome: Outcome }> {
    const outcome = await this.#resolve(relatedQuery(query, { type: TYPE.a }), { kind: 'cluster', name: query.name, rule: '' })
    return { exists: !outcome.isFailure && rcodeOf(outcome.message) === RCODE.ok && answerCount(outcome.message) > 0, outcome }
  }

  async #askHost(query: Query): Promise<Outcome> {
    const began = performance.now()
    const { name, type } = query
    let from = 'host'
    try {
      const request = address(encodeReply(query, { rcode: 0 }), query)
      request.writeUInt16BE(query.flags & 0x0130, 2) // only RD, AD and CD: a query again
      const answered = await this.#upstreams.host(request)
      const answer = answered.message
      from = answered.from
      const asked = [{ from, isCached: false, ms: since(began), name, rcode: answer.length >= 12 ? rcodeOf(answer) : null, type }]
      // Some servers leave the question out of an error.
      if (answer.length >= 12 && answer.readUInt16BE(4) === 0 && rcodeOf(answer) !== 0)
        return { asked, message: encodeReply(query, { rcode: rcodeOf(answer) }) }
      if (!answersTo(answer, query)) throw new Error('The resolver of the host answered another question')
      return { asked, message: withoutEdns(answer) }
    } catch (error) {
      const text = reasonOf(error)
      const asked = [{ error: text, from, isCached: false, ms: since(began), name, rcode: null, type }]
      return { ...failed(query, { code: EXTENDED_ERROR.networkError, text }), asked }
    }
  }
}

/** What went wrong and what to do about it, in one line. */
function reasonOf(error: unknown): string {
  const hint = error instanceof TpxError ? error.hint : undefined
  return hint ? `${messageOf(error)}. ${hint}` : messageOf(error)
}

const since = (began: number): number => Math.round((performance.now() - began) * 100) / 100

function answersTo(answer: Buffer, query: Query): boolean {
  const question = answer.subarray(12, 12 + query.question.length).toString('latin1')
  return answer.length >= 12 && answer.readUInt16BE(4) === 1 && question.toLowerCase() === query.question.toString('latin1').toLowerCase()
}

function failed(query: Query, extended: ExtendedError, rcode: number = RCODE.servFail): Outcome {
  return { asked: [], extended, isFailure: true, message: encodeReply(query, { rcode }) }
}

/** Names of this machine itself (RFC 6761 §6.3); they never leave it. */
function loopbackReply(query: Query): Buffer {
  if (query.type === TYPE.a)
    return encodeReply(query, { rcode: 0, answers: [makeRecord(TYPE.a, LOOPBACK_TTL, Buffer.from([127, 0, 0, 1]))] })
  const six = Buffer.alloc(16)
  six.writeUInt8(1, 15)
  if (query.type === TYPE.aaaa) return encodeReply(query, { rcode: 0, answers: [makeRecord(TYPE.aaaa, LOOPBACK_TTL, six)] })
  if (query.type === TYPE.ptr)
    return encodeReply(query, { rcode: 0, answers: [makeRecord(TYPE.ptr, LOOPBACK_TTL, Buffer.from('\tlocalhost\0', 'latin1'))] })
  return encodeReply(query, { rcode: 0, authorities: [makeSoa('localhost', LOOPBACK_TTL)] })
}
