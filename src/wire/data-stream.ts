// App connections between two tpx ends ride HTTP/2 CONNECT streams (RFC 9113 §8.5), one per TCP connection or UDP flow:
//   dialer's peer --CONNECT host:port--> dialer;  dialer --:status 200, or 502 with tpx-error--> peer;  then bytes both ways.
// A FIN is END_STREAM, a reset is RST_STREAM. UDP datagrams carry a two-byte big-endian length each.
import http2 from 'node:http2'
import type { Duplex } from 'node:stream'

/** Flow-control windows: 64 KiB (HTTP/2's default) gives 3 MB/s at 20 ms round trip, 4 MiB was measured to be enough. */
const STREAM_WINDOW = 4 << 20
const SESSION_WINDOW = 16 << 20

/** Header with the protocol: absent or "tcp", "udp", or "icmp" (port 0; frames as of UDP, each an echo-message.ts). */
export const PROTOCOL_HEADER = 'tpx-protocol'
/** Response header of a failed dial: a Node system error code such as ECONNREFUSED. */
export const ERROR_HEADER = 'tpx-error'
/** Request header on inbound streams: `address:port` of the real peer. */
export const SOURCE_HEADER = 'tpx-source'

/**
 * Node ends a session whose client resets more than 1000 streams and then 33 a second. Here a reset is an app's RST, and apps
 * (health checks, load generators) do that all day; the peer is authenticated.
 */
const RESET_LIMITS = { streamResetBurst: 1_000_000, streamResetRate: 1_000_000 }

const settings: http2.Settings = { initialWindowSize: STREAM_WINDOW }
const options = { maxSessionMemory: 1000, maxOutstandingPings: 100, peerMaxConcurrentStreams: 1_000_000 }

/** The side that asks for connections. Ends with its stream; errors are only seen by the streams. */
export function dataClient(stream: Duplex): http2.ClientHttp2Session {
  const session = http2.connect('http://tpx', { ...options, settings: { ...settings, enablePush: false }, createConnection: () => stream })
  session.once('connect', () => {
    if (!session.destroyed) session.setLocalWindowSize(SESSION_WINDOW)
  })
  return endWith(stream, session)
}

/** The side that dials. The stream must be connected already. */
export function dataServer(
  stream: Duplex,
  onConnect: (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void,
): http2.ServerHttp2Session {
  const session = http2.performServerHandshake(stream, { ...options, ...RESET_LIMITS, settings })
  session.setLocalWindowSize(SESSION_WINDOW)
  session.on('stream', (request, headers) => {
    request.on('error', () => {})
    onConnect(request, headers)
  })
  return endWith(stream, session)
}

/** A session does not outlive its stream: on a half-open socket nothing else would tell the streams that the peer is gone. */
function endWith<S extends http2.Http2Session>(stream: Duplex, session: S): S {
  const end = (): void => session.destroy()
  stream.once('end', end).once('close', end)
  return session.on('error', () => {})
}

/** Error of a dial, with a system error code. */
export class DialError extends Error {
  readonly code: string
  constructor(code: string) {
    super(`Dial failed: ${code}`)
    this.name = 'DialError'
    this.code = code
  }
}

/**
 * Asks the other side for a connection and waits for its verdict.
 * @param authority `host:port`, IPv6 in brackets
 * @throws DialError with the dialer's system error code, or ECONNRESET when the session is gone
 */
export function openDataStream(
  session: http2.ClientHttp2Session,
  authority: string,
  options: { headers?: http2.OutgoingHttpHeaders; signal?: AbortSignal } = {},
): Promise<http2.ClientHttp2Stream> {
  return new Promise((resolve, reject) => {
    if (session.closed || session.destroyed) return void reject(new DialError('ECONNRESET'))
    const stream = session.request(
      { ...options.headers, ':method': 'CONNECT', ':authority': authority },
      { endStream: false, ...(options.signal ? { signal: options.signal } : {}) },
    )
    const fail = (): void => reject(new DialError('ECONNRESET'))
    stream.once('error', fail).once('close', fail)
    stream.once('response', (headers) => {
      stream.off('close', fail)
      if (headers[':status'] === 200) return void resolve(stream.on('error', () => {}))
      stream.destroy()
      reject(new DialError(String(headers[ERROR_HEADER] ?? 'ECONNRESET')))
    })
  })
}

/** Answers a CONNECT that could not be dialed. */
export function refuse(stream: http2.ServerHttp2Stream, code: string): void {
  if (!stream.destroyed && !stream.headersSent) stream.respond({ ':status': 502, [ERROR_HEADER]: code }, { endStream: true })
}

/** `host:port` of an authority; brackets of IPv6 removed. */
export function parseAuthority(authority: string): { host: string; port: number } {
  const at = authority.lastIndexOf(':')
  return { host: authority.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(authority.slice(at + 1)) }
}

/** The reverse of {@link parseAuthority}. */
export function formatAuthority(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
