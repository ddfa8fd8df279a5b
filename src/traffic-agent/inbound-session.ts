import type http2 from 'node:http2'
import type { Duplex } from 'node:stream'
import { dataClient } from '../wire/data-stream.ts'
import { destroySession } from './attachment-table.ts'

/** How often the developer's side is asked whether it is there; silence for one whole further period ends the session. */
export const PING_EVERY_MS = 10_000

/**
 * Becomes the HTTP/2 client on an accepted `TPX/1 inbound` stream and watches it: a laptop that vanished without FIN is given up
 * 10 to 20 s after its last byte (at `pingEveryMs` = 10 s), so that its port is free again.
 */
export function openInboundSession(
  stream: Duplex & { readonly bytesRead?: number },
  pingEveryMs: number = PING_EVERY_MS,
): http2.ClientHttp2Session {
  const session = dataClient(stream)
  let answered = true
  let seen = -1
  const tick = (): void => {
    // Under load the answer waits behind data, so any byte that came counts.
    const bytesRead = session.socket?.bytesRead ?? 0
    if (!answered && bytesRead === seen) return destroySession(session)
    seen = bytesRead
    if (!answered || session.destroyed) return
    answered = false
    session.ping((error) => {
      answered ||= error === null
    })
  }

  const timer = setInterval(tick, pingEveryMs)
  session.once('close', () => clearInterval(timer))
  return session
}
