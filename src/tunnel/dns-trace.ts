import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { messageOf } from '../base/error.ts'
import { describe, extendedErrorOf, makeQuery, rcodeName, typeName } from '../dns/describe.ts'
import { askNameserver } from '../dns/nameserver.ts'
import { parseResolvConf, searchCandidates } from '../dns/resolv-conf.ts'
import { encodeAddress } from '../dns/records.ts'
import type { Explanation, Resolver } from '../dns/resolver.ts'
import type { DnsTrace, DnsTraceParams, DnsTraceStep } from '../wire/control.ts'

/** As long as libc waits. */
const LIMIT_MS = 5000

type Options = {
  /** Addresses at which our own server listens. */
  ownAddresses: readonly string[]
  readResolvConf?: () => Promise<string>
  resolver: Resolver
}

/** Resolves a name as libc does in a container of this connection, and tells each step. */
export async function traceName({ flush, name, type }: DnsTraceParams, options: Options): Promise<DnsTrace> {
  const began = performance.now()
  const { readResolvConf = () => readFile('/etc/resolv.conf', 'utf8') } = options
  const conf = parseResolvConf(await readResolvConf())
  const nameserver = conf.nameservers[0] ?? '127.0.0.1'
  const question = questionOf(name, type)
  if (flush) options.resolver.forget()
  const steps: DnsTraceStep[] = []
  for (const candidate of searchCandidates(question.name, conf)) {
    const step = await traceStep(candidate, question.type, nameserver, options)
    steps.push(step)
    if (step.records.length > 0) break
  }

  const { ndots, search } = conf
  return { ...resultOf(steps), ms: since(began), name: question.name, nameserver, ndots, search, steps, type: question.type }
}

/** As libc sees it: a failure leaves open whether there is such a name; an empty answer says that there is. */
function resultOf(steps: DnsTraceStep[]): Pick<DnsTrace, 'found' | 'rcode' | 'records'> {
  const found = steps.find(({ records }) => records.length > 0)
  if (found) return { found: found.name, rcode: found.rcode, records: found.records }
  const rcodes = steps.map(({ rcode }) => rcode)
  const rcode = ['SERVFAIL', 'NOERROR'].find((known) => rcodes.includes(known)) ?? rcodes.at(-1) ?? 'SERVFAIL'
  return { found: null, rcode, records: [] }
}

/** An address is asked for its name. */
function questionOf(name: string, type: string): { name: string; type: string } {
  if (!isIP(name)) return { name, type }
  const bytes = [...encodeAddress(name)].toReversed()
  if (bytes.length === 4) return { name: `${bytes.join('.')}.in-addr.arpa.`, type: 'PTR' }
  return { name: `${bytes.map((byte) => `${(byte & 15).toString(16)}.${(byte >> 4).toString(16)}`).join('.')}.ip6.arpa.`, type: 'PTR' }
}

async function traceStep(name: string, type: string, nameserver: string, { ownAddresses, resolver }: Options): Promise<DnsTraceStep> {
  const began = performance.now()
  const base: DnsTraceStep = { answeredBy: 'tunnel', asked: [], isCached: false, ms: 0, name, rcode: 'SERVFAIL', records: [], rule: '' }
  try {
    const query = makeQuery(name, type)
    if (ownAddresses.includes(nameserver)) {
      const explanation = await resolver.explain(query)
      return explanation ? { ...base, ...explained(explanation), ms: since(began) } : base
    }

    const { message, ours } = await askOther(query, name, nameserver, resolver)
    const { rcode, records } = describe(message)
    const own = ours ? explained(ours) : { answeredBy: 'docker' as const, rule: "known to Docker's resolver, or not passed on by it" }
    const error = extendedErrorOf(message)
    return { ...base, ...own, ...(error ? { error } : {}), ms: since(began), rcode, records }
  } catch (error) {
    return { ...base, answeredBy: 'nobody', error: messageOf(error), ms: since(began), rule: `${nameserver} was asked` }
  }
}

/** Asks the name server of resolv.conf, and sees whether it asks us in turn: on a user-defined network it is Docker's. */
async function askOther(
  query: Buffer,
  name: string,
  nameserver: string,
  resolver: Resolver,
): Promise<{ message: Buffer; ours: Explanation | undefined }> {
  let ours: Explanation | undefined
  const stop = resolver.onAnswer((explanation) => {
    if (explanation.query.name === name.toLowerCase()) ours = explanation
  })
  try {
    return { message: await askNameserver(query, { address: nameserver, port: 53 }, LIMIT_MS), ours }
  } finally {
    stop()
  }
}

function explained({ asked, extended, isCached, message, rule }: Explanation): Omit<DnsTraceStep, 'ms' | 'name'> {
  const { rcode, records } = describe(message)
  return {
    answeredBy: 'tunnel',
    asked: asked.map((one) => ({ ...one, rcode: one.rcode === null ? null : rcodeName(one.rcode), type: typeName(one.type) })),
    ...(extended ? { error: extended.text } : {}),
    isCached,
    rcode,
    records,
    rule,
  }
}

const since = (began: number): number => Math.round((performance.now() - began) * 100) / 100
