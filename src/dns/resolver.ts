import { CLUSTER_TYPES, EXTENDED_ERROR, RCODE, TYPE } from './codes.ts'
import { MessageCache } from './message-cache.ts'
import { type NamePlan, planName, type Zone } from './name-plan.ts'
import { parseQuery, type Query } from './query.ts'
import { makeRecord, makeSoa, splitRecords } from './records.ts'
import { address, answerCount, encodeReply, type ExtendedError, rcodeOf, withoutEdns } from './reply.ts'
import { messageOf } from '../base/error.ts'

/** Seconds that a denial by the cluster is kept: long enough for one look-up with a search list, short for a new Service. */
const DENIAL_TTL = 2
const LOOPBACK_TTL = 600

/** An answer of the cluster's DNS: uncompressed records, one after the other. */
export type ClusterAnswer = { rcode: number; records: Buffer }

/** What the resolver asks. Both reject when there is no answer; the error's text is shown to whoever asked. */
export type Upstreams = {
  /** @param name fully qualified, with the trailing dot */
  cluster: (name: string, type: number) => Promise<ClusterAnswer>
  /** Exchanges whole messages with the host's resolver. */
  host: (message: Buffer) => Promise<Buffer>
}

type Outcome = { failure?: ExtendedError; message: Buffer }

/** Answers DNS messages: decides where a name lives, asks there, and keeps what may be kept. */
export class Resolver {
  readonly #cache: MessageCache
  readonly #inFlight = new Map<string, Promise<Outcome>>()
  readonly #upstreams: Upstreams
  readonly #zone: () => Zone

  /** @param options `zone` is asked anew for every query; `now` is a clock in milliseconds */
  constructor(options: { now?: () => number; upstreams: Upstreams; zone: () => Zone }) {
    this.#cache = new MessageCache({ now: options.now ?? (() => performance.now()) })
    this.#upstreams = options.upstreams
    this.#zone = options.zone
  }

  /** Forgets all answers: the cluster behind the names may be another one. */
  forget(): void {
    this.#cache.clear()
  }

  /** The query (null where it is none) and the whole answer; fitting it into a datagram is the server's business. Never rejects. */
  async answer(message: Buffer): Promise<{ message: Buffer; query: Query } | null> {
    const parsed = parseQuery(message)
    if (parsed === null) return null
    if ('rcode' in parsed) return { query: parsed.query, message: this.#error(parsed.query, parsed.rcode) }
    try {
      const outcome = await this.#resolve(parsed)
      const rcode = rcodeOf(outcome.message)
      return { query: parsed, message: address(outcome.message, parsed, { failure: outcome.failure, rcode }) }
    } catch {
      return { query: parsed, message: this.#error(parsed, RCODE.servFail) }
    }
  }

  #error(query: Query, rcode: number): Buffer {
    return address(encodeReply(query, { rcode }), query, { rcode })
  }

  /** From the cache, from a look-up that runs already, or anew. */
  #resolve(query: Query): Promise<Outcome> {
    const key = `${query.name} ${query.type} ${query.flags & 0x0110} ${query.edns?.dnssecOk ?? false}`
    const known = this.#cache.get(key)
    if (known) return Promise.resolve({ message: known })
    const running = this.#inFlight.get(key)
    if (running) return running
    const look = this.#look(query, planName(query.name, query.type, this.#zone()))
      .then((outcome) => {
        if (!outcome.failure) this.#cache.put(key, outcome.message)
        return outcome
      })
      .finally(() => this.#inFlight.delete(key))
    this.#inFlight.set(key, look)
    return look
  }

  async #look(query: Query, plan: NamePlan): Promise<Outcome> {
    switch (plan.kind) {
      case 'absent':
        return { message: encodeReply(query, { rcode: RCODE.nxDomain, authorities: [makeSoa('', LOOPBACK_TTL)] }) }
      case 'loopback':
        return { message: loopbackReply(query) }
      case 'cluster':
        return this.#askCluster(query, plan.name)
      case 'cluster-or-host':
        return this.#askBoth(query, plan.name)
      case 'host':
        return this.#askHost(query)
    }
  }

  async #askBoth(query: Query, name: string): Promise<Outcome> {
    if (!CLUSTER_TYPES.has(query.type)) return this.#askHost(query)
    const inCluster = await this.#askCluster(query, name)
    if (!inCluster.failure && rcodeOf(inCluster.message) === RCODE.ok) return inCluster
    const onHost = await this.#askHost(query)
    // A cluster that is away must not take the host's names with it, and neither upstream's absence may pass for a denial.
    if (!onHost.failure && rcodeOf(onHost.message) === RCODE.ok) return onHost
    return inCluster.failure || onHost.failure ? failed(query, (inCluster.failure ?? onHost.failure)!) : inCluster
  }

  async #askCluster(query: Query, name: string): Promise<Outcome> {
    if (!CLUSTER_TYPES.has(query.type)) return { message: encodeReply(query, { rcode: RCODE.notImp }) }
    let answer: ClusterAnswer
    try {
      answer = await this.#upstreams.cluster(`${name}.`, query.type)
    } catch (error) {
      return failed(query, { code: EXTENDED_ERROR.noReachableAuthority, text: messageOf(error) })
    }

    const records = splitRecords(answer.records, name)
    const answers = records.filter(({ type }) => type !== TYPE.soa).map(({ bytes }) => bytes)
    const soas = records.filter(({ type }) => type === TYPE.soa).map(({ bytes }) => bytes)
    let { rcode } = answer
    // "No such name" for AAAA beside an A would make some resolvers (musl) forget the A.
    if (rcode === RCODE.nxDomain && query.type === TYPE.aaaa && (await this.#hasAddress(query))) rcode = RCODE.ok
    if (answers.length === 0 && soas.length === 0) soas.push(makeSoa(this.#zone().clusterDomain, DENIAL_TTL))
    const authorities = answers.length === 0 ? soas : []
    return { message: encodeReply(query, { answers, authorities, authoritative: true, rcode }) }
  }

  async #hasAddress(query: Query): Promise<boolean> {
    const question = Buffer.from(query.question)
    question.writeUInt16BE(TYPE.a, question.length - 4)
    const { failure, message } = await this.#resolve({ ...query, question, type: TYPE.a })
    return !failure && rcodeOf(message) === RCODE.ok && answerCount(message) > 0
  }

  async #askHost(query: Query): Promise<Outcome> {
    try {
      const request = address(encodeReply(query, { rcode: 0 }), query)
      request.writeUInt16BE(query.flags & 0x0130, 2) // only RD, AD and CD: a query again
      const answer = await this.#upstreams.host(request)
      // Some servers leave the question out of an error.
      if (answer.length >= 12 && answer.readUInt16BE(4) === 0 && rcodeOf(answer) !== 0)
        return { message: encodeReply(query, { rcode: rcodeOf(answer) }) }
      if (!answersTo(answer, query)) throw new Error('The resolver of the host answered another question')
      return { message: withoutEdns(answer) }
    } catch (error) {
      return failed(query, { code: EXTENDED_ERROR.networkError, text: messageOf(error) })
    }
  }
}

function answersTo(answer: Buffer, query: Query): boolean {
  const question = answer.subarray(12, 12 + query.question.length).toString('latin1')
  return answer.length >= 12 && answer.readUInt16BE(4) === 1 && question.toLowerCase() === query.question.toString('latin1').toLowerCase()
}

function failed(query: Query, failure: ExtendedError): Outcome {
  return { failure, message: encodeReply(query, { rcode: RCODE.servFail }) }
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
