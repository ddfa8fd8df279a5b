import { Resolver } from 'node:dns'
import { readFile } from 'node:fs/promises'
import type { Duplex } from 'node:stream'
import { messageOf } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import { LengthPrefixReader, withLength } from '../base/length-prefix.ts'
import { aliasReply } from '../dns/alias.ts'
import { RCODE } from '../dns/codes.ts'
import { HostsFile, hostsFilePath } from '../dns/hosts-file.ts'
import { askNameservers, type Nameserver, parseNameserver, parseNameservers } from '../dns/nameserver.ts'
import { parseQuery, type Query, relatedQuery } from '../dns/query.ts'
import { address, answerCount, encodeReply, rcodeOf, withoutEdns } from '../dns/reply.ts'
import { parseResolvConf } from '../dns/resolv-conf.ts'
import { DNS_ADDRESS } from '../container/holder-container.ts'

const LIMIT_MS = 3000
/** How long the list of nameservers is believed in: a VPN may change it. */
const LIST_MS = 2000
const MOST_IN_FLIGHT = 256
/** Seconds: of the alias that a name below the host's search list is answered with. */
const ALIAS_TTL = 30

type HostResolverOptions = {
  /** Default: the system's. */
  hostsFile?: string | undefined
  logger: Logger
  /** "ip:port,…" instead of the system's list. */
  nameservers?: string | undefined
  /** Where the search list is read from. */
  resolvConf?: string | undefined
}

type Servers = { nameservers: Nameserver[]; search: string[] }

/**
 * Answers DNS messages as the host itself would: from its hosts file, then by asking its own nameservers, so that names of its VPN
 * resolve in the connection; names of one label also below its search list.
 */
export class HostResolver {
  readonly #fixed: Nameserver[] | undefined
  readonly #hosts: HostsFile
  readonly #logger: Logger
  readonly #resolvConf: string
  #servers: Promise<Servers> | undefined
  #until = 0

  constructor({ hostsFile, logger, nameservers, resolvConf }: HostResolverOptions) {
    this.#fixed = nameservers ? parseNameservers(nameservers) : undefined
    this.#hosts = new HostsFile(hostsFile || hostsFilePath())
    this.#logger = logger
    this.#resolvConf = resolvConf ?? '/etc/resolv.conf'
  }

  /** Serves a carrier stream: length-prefixed queries in, answers out in whatever order they come. */
  serve(stream: Duplex): void {
    const reader = new LengthPrefixReader()
    let inFlight = 0
    const answer = async (query: Buffer): Promise<void> => {
      inFlight += 1
      if (inFlight >= MOST_IN_FLIGHT) stream.pause()
      const message = await this.answer(query)
      inFlight -= 1
      if (message && !stream.destroyed && !stream.writableEnded) stream.write(withLength(message))
      if (inFlight < MOST_IN_FLIGHT) stream.resume()
    }
    stream.on('data', (bytes: Buffer) => {
      for (const query of reader.push(bytes)) void answer(query)
    })
    stream.on('end', () => stream.end())
    stream.resume() // it was paused after its first line
  }

  /** The host's answer, or SERVFAIL within 3 s; undefined only for what is no query. Never rejects. */
  async answer(message: Buffer): Promise<Buffer | undefined> {
    const query = parseQuery(message)
    if (query === null) return undefined
    if ('rcode' in query) return address(encodeReply(query.query, query), query.query, query)
    const inFile = await this.#hosts.answer(query)
    if (inFile) return address(inFile, query)
    const limit = performance.now() + LIMIT_MS
    const servers = await this.#currentServers()
    const below = await this.#searched(query, servers, limit)
    if (below) return address(below, query)
    return (await this.#ask(message, servers, limit)) ?? address(encodeReply(query, { rcode: RCODE.servFail }), query)
  }

  /** A name of one label below the host's search list, where it has records there. */
  async #searched(query: Query, servers: Servers, limit: number): Promise<Buffer | undefined> {
    if (query.name === '' || query.name.includes('.')) return undefined
    for (const domain of servers.search) {
      const name = `${query.name}.${domain}`
      const related = relatedQuery(query, { name })
      const request = address(encodeReply(related, { rcode: 0 }), related)
      request.writeUInt16BE(query.flags, 2)
      const answer = await this.#ask(request, servers, limit)
      if (!answer || rcodeOf(answer) !== RCODE.ok || answerCount(answer) === 0) continue
      try {
        return aliasReply(query, { names: [name], target: withoutEdns(answer), ttl: ALIAS_TTL })
      } catch (error) {
        this.#logger.debug({ reason: messageOf(error) }, 'a nameserver answered what cannot be read')
      }
    }
    return undefined
  }

  async #ask(message: Buffer, { nameservers }: Servers, limit: number): Promise<Buffer | undefined> {
    const onError = (error: unknown, server: Nameserver): void =>
      this.#logger.debug({ reason: messageOf(error), server: server.address }, 'nameserver failed')
    return (await askNameservers(message, nameservers, { limitMs: limit - performance.now(), onError }))?.message
  }

  #currentServers(): Promise<Servers> {
    if (this.#servers && performance.now() < this.#until) return this.#servers
    this.#until = performance.now() + LIST_MS
    this.#servers = this.#readServers()
    return this.#servers
  }

  async #readServers(): Promise<Servers> {
    const search = await readFile(this.#resolvConf, 'utf8').then(
      (text) => parseResolvConf(text).search.filter((domain) => domain !== '.'),
      () => [],
    )
    // A new Resolver reads the system's configuration anew, on every platform; dns.getServers() does once at start.
    const nameservers = this.#fixed ?? new Resolver().getServers().map(parseNameserver)
    // Inside of a connection's own namespace the tunnel would be asked, which asks here: a loop.
    return { nameservers: nameservers.filter(({ address }) => address !== DNS_ADDRESS), search }
  }
}
