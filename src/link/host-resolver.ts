import { createSocket } from 'node:dgram'
import { Resolver } from 'node:dns'
import { connect, isIPv6 } from 'node:net'
import type { Duplex } from 'node:stream'
import { messageOf } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import { LengthPrefixReader, withLength } from '../base/length-prefix.ts'
import { isResponseTo, isTruncated, isUnhelpful, serverFailure } from './dns-messages.ts'

/** One nameserver. */
export type Nameserver = { address: string; port: number }

const LIMIT_MS = 3000
/** How long the list of nameservers is believed in: a VPN may change it. */
const LIST_MS = 2000
const MOST_IN_FLIGHT = 256

/** "10.0.0.1", "10.0.0.1:53", "::1" or "[::1]:53". */
export function parseNameserver(text: string): Nameserver {
  const [, bracketed, bracketPort] = /^\[(.+)\](?::(\d+))?$/.exec(text) ?? []
  if (bracketed) return { address: bracketed, port: Number(bracketPort ?? 53) }
  if (isIPv6(text)) return { address: text, port: 53 }
  const [address = '', port] = text.split(':')
  return { address, port: Number(port ?? 53) }
}

/** Answers DNS messages by asking the host's own nameservers, so that names of its VPN resolve in the connection. */
export class HostResolver {
  readonly #fixed: Nameserver[] | undefined
  readonly #logger: Logger
  #list: { servers: Nameserver[]; until: number } = { servers: [], until: 0 }

  /** @param override TPX_HOST_NAMESERVERS: "ip:port,…" instead of the system's list */
  constructor(logger: Logger, override?: string) {
    this.#logger = logger
    this.#fixed = override ? override.split(',').map((entry) => parseNameserver(entry.trim())) : undefined
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
  async answer(query: Buffer): Promise<Buffer | undefined> {
    if (query.length < 12) return undefined
    const end = performance.now() + LIMIT_MS
    const servers = this.#servers()
    let best: Buffer | undefined
    for (const [i, server] of servers.entries()) {
      // The first server gets half of the time, the last all that is left.
      const left = end - performance.now()
      const limitMs = i === servers.length - 1 ? left : left / 2
      if (limitMs <= 0) break
      try {
        best = await ask(query, server, limitMs)
        if (!isUnhelpful(best)) return best
      } catch (error) {
        this.#logger.debug({ reason: messageOf(error), server: server.address }, 'nameserver failed')
      }
    }

    return best ?? serverFailure(query)
  }

  #servers(): Nameserver[] {
    if (this.#fixed) return this.#fixed
    // A new Resolver reads the system's configuration anew, on every platform; dns.getServers() does once at start.
    if (this.#list.until < performance.now()) {
      this.#list = { servers: new Resolver().getServers().map(parseNameserver), until: performance.now() + LIST_MS }
    }

    return this.#list.servers
  }
}

async function ask(query: Buffer, server: Nameserver, limitMs: number): Promise<Buffer> {
  const signal = AbortSignal.timeout(Math.max(1, Math.ceil(limitMs)))
  const answer = await askUdp(query, server, signal)
  return isTruncated(answer) ? askTcp(query, server, signal) : answer
}

function askUdp(query: Buffer, { address, port }: Nameserver, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // A socket per query: a port of its own is half of what protects against forged answers.
    const socket = createSocket({ type: isIPv6(address) ? 'udp6' : 'udp4' })
    const settle = (done: () => void): void => {
      signal.removeEventListener('abort', abort)
      socket
        .removeAllListeners()
        .on('error', () => {})
        .close()
      done()
    }
    const abort = (): void => settle(() => reject(new Error('No answer in time')))
    signal.addEventListener('abort', abort)
    socket.on('error', (error) => settle(() => reject(error)))
    socket.on('message', (message) => {
      if (isResponseTo(query, message)) settle(() => resolve(message))
    })
    socket.connect(port, address, () => socket.send(query))
  })
}

function askTcp(query: Buffer, { address, port }: Nameserver, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const reader = new LengthPrefixReader()
    const socket = connect({ host: address, port })
    const abort = (): void => void socket.destroy(new Error('No answer in time'))
    signal.addEventListener('abort', abort)
    socket.on('data', (bytes) => {
      const message = reader.push(bytes).find((candidate) => isResponseTo(query, candidate))
      if (!message) return
      resolve(message)
      socket.destroy()
    })
    socket.on('error', reject).on('close', () => {
      signal.removeEventListener('abort', abort)
      reject(new Error('Connection closed without an answer'))
    })
    socket.write(withLength(query))
  })
}
