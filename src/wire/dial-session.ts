// A process of the host lets the tunnel dial for it, over one stream through the link:
//   process --CONNECT host:port--> tunnel;  tunnel --200, or 502 with an error code--> process;  then bytes both ways.
// `host` is a name, as a container of the connection would write it, or an address.
import { once } from 'node:events'
import type http2 from 'node:http2'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { systemCode } from '../base/error.ts'
import { dataClient, dataServer, DialError, formatAuthority, openDataStream, parseAuthority, refuse } from './data-stream.ts'
import { join } from './join.ts'

/** Error code of a dial: neither the name nor the address belongs to the cluster. All others are Node's system error codes. */
export const OUTSIDE = 'EOUTSIDE'

/** The way to the tunnel is a socket or a pipe of this machine: no round trip worth a larger window. */
const STREAM_WINDOW = 1 << 20
/** So that stalled streams cannot stop the others: their own windows limit the memory. */
const SESSION_WINDOW = 2 ** 31 - 1

/** A connection that the tunnel has made: its bytes, and how it is joined with a socket so that FIN and reset stay what they are. */
export type Dialed = { joinWith(socket: Socket): void; stream: Duplex }

/** The host's side of a session. */
export interface DialSession {
  /** Settles when the session has ended. */
  readonly closed: Promise<unknown>
  readonly isClosed: boolean
  close(): void
  /** @throws DialError with {@link OUTSIDE}, ENOTFOUND, EAI_AGAIN (no answer of the cluster's DNS), or what connect(2) came to */
  dial(target: { host: string; port: number }, signal: AbortSignal): Promise<Dialed>
}

/** @param stream to the tunnel, at its first byte */
export function openDialSession(stream: Duplex): DialSession {
  const session = dataClient(stream)
  session.once('connect', () => widen(session))
  const closed = once(session, 'close').catch(() => {})
  return {
    closed,
    get isClosed() {
      return session.closed || session.destroyed
    },
    close: () => session.destroy(),
    dial: async ({ host, port }, signal) => {
      const opened = await openDataStream(session, formatAuthority(host, port), { signal })
      return { joinWith: (socket) => join(opened, socket), stream: opened }
    },
  }
}

/** The tunnel's side. @param dial answers the connected socket, which must allow half-open, or throws an error with a code */
export function serveDialSession(
  stream: Duplex,
  dial: (target: { host: string; port: number }, signal: AbortSignal) => Promise<Socket>,
): void {
  const answer = async (request: http2.ServerHttp2Stream, authority: string): Promise<void> => {
    const gone = new AbortController()
    const abort = (): void => gone.abort()
    request.once('close', abort)
    try {
      const socket = await dial(parseAuthority(authority), gone.signal)
      request.off('close', abort)
      if (request.destroyed) return void socket.on('error', () => {}).resetAndDestroy()
      request.respond({ ':status': 200 })
      join(request, socket)
    } catch (error) {
      refuse(request, systemCode(error) ?? 'ECONNRESET')
    }
  }
  const session = dataServer(stream, (request, headers) => void answer(request, String(headers[':authority'])))
  widen(session)
}

function widen(session: http2.Http2Session): void {
  if (session.destroyed) return
  session.settings({ initialWindowSize: STREAM_WINDOW })
  session.setLocalWindowSize(SESSION_WINDOW)
}

export { DialError }
