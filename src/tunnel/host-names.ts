import { once } from 'node:events'
import packet from 'dns-packet'
import { isIP } from 'node:net'
import { podSearchList, searchCandidates } from '../dns/resolv-conf.ts'
import { DialError, OUTSIDE } from '../wire/dial-session.ts'

/** What a look-up works with. */
export type NameOptions = {
  /** Answers a DNS message (src/dns/resolver.ts). */
  answer: (query: Buffer) => Promise<{ message: Buffer } | null>
  clusterDomain: string
  /** Default 5 s. */
  limitMs?: number
  namespace: string
}

/** Of a Pod's resolv.conf: a name with fewer dots is tried with the search list first. */
const NDOTS = 5
/** A resolver of the host that is away is not waited for longer. */
const LIMIT_MS = 5000
const RECURSION_DESIRED = 0x0100

type Look = { addresses: string[]; hasFailed: boolean }

/**
 * The addresses of a name, IPv4 first, as a container of the connection would find them: with the search list of a Pod of the
 * connected namespace (resolv.conf(5)). An address is its own answer.
 * @throws DialError ENOTFOUND; EAI_AGAIN when the DNS gave no answer; {@link OUTSIDE} when a name that is not one of the cluster
 * domain does not exist: the host may know it in ways of its own
 */
export async function lookupHost(host: string, options: NameOptions): Promise<string[]> {
  if (isIP(host)) return [host]
  const gaveUp = AbortSignal.timeout(options.limitMs ?? LIMIT_MS)
  const late = once(gaveUp, 'abort').then((): Look => ({ addresses: [], hasFailed: true }))
  let hasFailed = false
  const conf = { ndots: NDOTS, search: podSearchList(options.namespace, options.clusterDomain) }
  for (const name of searchCandidates(host.toLowerCase(), conf)) {
    const look = await Promise.race([lookup(name, options.answer), late])
    if (look.addresses.length > 0) return look.addresses
    hasFailed ||= look.hasFailed
    if (gaveUp.aborted) break
  }
  if (hasFailed) throw new DialError('EAI_AGAIN')
  throw new DialError(isOfCluster(host.toLowerCase(), options) ? 'ENOTFOUND' : OUTSIDE)
}

function isOfCluster(host: string, { clusterDomain }: NameOptions): boolean {
  return ['svc', clusterDomain].some((suffix) => host.replace(/\.$/, '').endsWith(`.${suffix}`))
}

async function lookup(name: string, answer: NameOptions['answer']): Promise<Look> {
  const looks = await Promise.all((['A', 'AAAA'] as const).map((type) => lookupType(name, type, answer)))
  return { addresses: looks.flatMap(({ addresses }) => addresses), hasFailed: looks.some(({ hasFailed }) => hasFailed) }
}

async function lookupType(name: string, type: 'A' | 'AAAA', answer: NameOptions['answer']): Promise<Look> {
  try {
    const query = packet.encode({ flags: RECURSION_DESIRED, id: 0, questions: [{ name, type }], type: 'query' })
    const answered = await answer(query)
    const decoded = answered && (packet.decode(answered.message) as packet.DecodedPacket & { rcode: string })
    if (!decoded || !['NOERROR', 'NXDOMAIN'].includes(decoded.rcode)) return { addresses: [], hasFailed: true }
    // A CNAME's addresses come along.
    const found = (decoded.answers ?? []).flatMap((record) => (record.type === type ? [record.data] : []))
    return { addresses: found, hasFailed: false }
  } catch {
    // A name that cannot be written as one (a label of more than 63 bytes) exists nowhere.
    return { addresses: [], hasFailed: false }
  }
}
