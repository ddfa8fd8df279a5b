// Asking name servers directly (RFC 1035 §4.2), whole messages in and out.
import { createSocket } from 'node:dgram'
import { connect, isIPv6 } from 'node:net'
import { LengthPrefixReader, withLength } from '../base/length-prefix.ts'
import { RCODE } from './codes.ts'
import { isResponseTo, isTruncated, rcodeOf } from './reply.ts'

/** One name server. */
export type Nameserver = { address: string; port: number }

/** This server has nothing to say, another may. */
const UNHELPFUL: readonly number[] = [RCODE.servFail, RCODE.notImp, RCODE.refused]

/** "10.0.0.1", "10.0.0.1:53", "::1" or "[::1]:53". */
export function parseNameserver(text: string): Nameserver {
  const [, bracketed, bracketPort] = /^\[(.+)\](?::(\d+))?$/.exec(text) ?? []
  if (bracketed) return { address: bracketed, port: Number(bracketPort ?? 53) }
  if (isIPv6(text)) return { address: text, port: 53 }
  const [address = '', port] = text.split(':')
  return { address, port: Number(port ?? 53) }
}

/** Comma-separated name servers. */
export function parseNameservers(text: string): Nameserver[] {
  return text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
    .map(parseNameserver)
}

/**
 * Asks the servers one after the other until one has something to say; the first gets half of the time, the last all that is left.
 * @returns the best answer; undefined where none came. Never rejects.
 */
export async function askNameservers(
  query: Buffer,
  servers: Nameserver[],
  { limitMs, onError }: { limitMs: number; onError?: (error: unknown, server: Nameserver) => void },
): Promise<{ message: Buffer; server: Nameserver } | undefined> {
  const end = performance.now() + limitMs
  let best: { message: Buffer; server: Nameserver } | undefined
  for (const [i, server] of servers.entries()) {
    const left = end - performance.now()
    const shareMs = i === servers.length - 1 ? left : left / 2
    if (shareMs <= 0) break
    try {
      best = { message: await askNameserver(query, server, shareMs), server }
      if (!UNHELPFUL.includes(rcodeOf(best.message))) return best
    } catch (error) {
      onError?.(error, server)
    }
  }

  return best
}

/** Asks by UDP, and by TCP where the answer was cut. @throws an error of the socket, or a time-out */
export async function askNameserver(query: Buffer, server: Nameserver, limitMs: number): Promise<Buffer> {
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
