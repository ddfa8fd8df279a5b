import { isIP, type Socket } from 'node:net'
import { systemCode } from '../base/error.ts'
import { DialError, type Dialed } from '../wire/dial-session.ts'
import { joinSockets } from './join-sockets.ts'

/** What a client of the proxy asks for: a name or an address (IPv6 without brackets), and a port. */
export type Target = { host: string; port: number }

/** Connects. @throws an error with a system error code, or ENOTFOUND and EAI_AGAIN for names */
export type Dial = (target: Target, signal: AbortSignal) => Promise<Dialed>

/** What came of a dial that failed. */
export type DialFailure = { code: string; target: Target; text: string }

const TEXTS: Record<string, string> = {
  EAI_AGAIN: 'the DNS of the cluster gives no answer; see "tpx status"',
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EHOSTUNREACH: 'no route to host',
  ENETUNREACH: 'network unreachable',
  ENOTFOUND: 'no such name',
  ETIMEDOUT: 'no answer',
}

/** A failed dial in words and with its code. */
export function dialFailure(error: unknown, target: Target): DialFailure {
  const code = systemCode(error) ?? 'ECONNRESET'
  const host = target.host.includes(':') ? `[${target.host}]` : target.host
  return { code, target, text: `${host}:${target.port}: ${TEXTS[code] ?? (error as Error).message}` }
}

/** `host:port`; IPv6 in brackets. Undefined for what is none. */
export function parseTarget(text: string): Target | undefined {
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+)):(\d{1,5})$/i.exec(text) ?? []
  const host = bracketed ?? plain ?? ''
  const port = Number(digits)
  return isHost(host) && port > 0 && port < 65_536 ? { host, port } : undefined
}

/** An address, or a name in the letters that names are written in (RFC 1123, and the underscores of DNS). */
export function isHost(text: string): boolean {
  return isIP(text) !== 0 || /^[a-z0-9_.-]{1,254}$/i.test(text)
}

/** A connection that this process has made itself. */
export function dialedSocket(socket: Socket): Dialed {
  return { joinWith: (other) => joinSockets(socket, other), stream: socket }
}

export { DialError }
