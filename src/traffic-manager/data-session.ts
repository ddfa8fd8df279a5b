import type http2 from 'node:http2'
import type { Duplex } from 'node:stream'
import { answerRequest } from '../outbound/answer-request.ts'
import type { Dialer } from '../outbound/dialer.ts'
import { dataServer } from '../wire/data-stream.ts'

/** Time for the client to close its end after the manager ended the session. */
const LINGER_MS = 2_000

/** Serves `TPX/1 data`: dials what the client's tunnel asks for, until the stream or the client's session ends. */
export function serveData(stream: Duplex, dialer: Dialer, ended: AbortSignal): void {
  const streams = new Set<http2.ServerHttp2Stream>()
  const session = dataServer(stream, (request, headers) => {
    streams.add(request)
    request.once('close', () => streams.delete(request))
    void answerRequest(request, headers, dialer)
  })
  // GOAWAY and FIN, then read on for a while: kubectl's port-forward drops all its connections when one is reset.
  const end = (): void => {
    for (const request of streams) request.destroy(new Error('session ended'))
    session.close()
    setTimeout(() => stream.destroy(), LINGER_MS).unref()
  }
  ended.addEventListener('abort', end, { once: true })
  stream.once('close', () => {
    ended.removeEventListener('abort', end)
    session.destroy()
  })
}
