import type { ClientHttp2Session, Http2Session } from 'node:http2'
import type { Duplex } from 'node:stream'

const PING_MS = 2000

/**
 * Ends a session as lost: with an error, so that its streams are resets and no clean ends; and not before it is connected, because
 * what is set on it then (dataClient's window) would throw.
 */
export function loseSession(session: Http2Session): void {
  const lose = (): void => session.destroy(new Error('Session lost'))
  if (session.connecting && !session.destroyed) (session as ClientHttp2Session).once('connect', lose)
  else lose()
}

/**
 * Pings a session and destroys it when nothing at all has come back for too long. Any byte counts, not only the ping's answer:
 * behind megabytes of bulk data that answer may take seconds.
 * @param stream the session's own, for its count of bytes
 * @param silentMs how long silence is allowed, milliseconds
 */
export function destroyWhenSilent(session: Http2Session, stream: Duplex, silentMs: number): void {
  const bytesRead = (): number => (stream as { bytesRead?: number }).bytesRead ?? 0
  let heardAt = performance.now()
  let seen = bytesRead()
  const timer = setInterval(() => {
    const now = performance.now()
    if (bytesRead() !== seen) heardAt = now
    seen = bytesRead()
    if (now - heardAt > silentMs) return loseSession(session)
    if (!session.closed && !session.destroyed) session.ping((error) => void (error ?? (heardAt = performance.now())))
  }, PING_MS)
  session.once('close', () => clearInterval(timer))
}
