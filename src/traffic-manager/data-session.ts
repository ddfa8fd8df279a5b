import type http2 from 'node:http2'
import type { Duplex } from 'node:stream'
import { systemCode } from '../base/error.ts'
import { dataServer, parseAuthority, PROTOCOL_HEADER, refuse } from '../wire/data-stream.ts'
import { LengthPrefixReader, withLength } from '../base/length-prefix.ts'
import { join } from '../wire/join.ts'
import { type Dialer, UDP_IDLE_MS } from './dialer.ts'
import { UdpFlow } from './udp-flow.ts'

/** Time for the client to close its end after the manager ended the session. */
const LINGER_MS = 2_000

/** Serves `TPX/1 data`: dials what the client's tunnel asks for, until the stream or the client's session ends. */
export function serveData(stream: Duplex, dialer: Dialer, ended: AbortSignal): void {
  const streams = new Set<http2.ServerHttp2Stream>()
  const session = dataServer(stream, (request, headers) => {
    streams.add(request)
    request.once('close', () => streams.delete(request))
    void answer(request, headers, dialer)
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

async function answer(stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders, dialer: Dialer): Promise<void> {
  if (headers[':method'] !== 'CONNECT') return refuse(stream, 'EPROTONOSUPPORT')
  const { host, port } = parseAuthority(headers[':authority'] ?? '')
  const destination = { address: host, port }
  const gone = new AbortController()
  const abort = (): void => gone.abort()
  stream.once('close', abort)
  try {
    if (!(port > 0 && port < 65_536)) return refuse(stream, 'EADDRNOTAVAIL')
    if (headers[PROTOCOL_HEADER] === 'udp') return joinDatagrams(stream, await dialer.udp(destination, gone.signal))
    const socket = await dialer.tcp(destination, gone.signal)
    if (stream.destroyed) return void socket.resetAndDestroy()
    stream.respond({ ':status': 200 })
    join(stream, socket)
  } catch (error) {
    refuse(stream, systemCode(error) ?? 'ECONNREFUSED')
  } finally {
    stream.off('close', abort)
  }
}

/** Datagrams that the client does not take in time are dropped, as a full queue of a router would. */
function joinDatagrams(stream: http2.ServerHttp2Stream, socket: Awaited<ReturnType<Dialer['udp']>>): void {
  if (stream.destroyed) return void socket.close()
  stream.respond({ ':status': 200 })
  const decoder = new LengthPrefixReader()
  const flow = new UdpFlow(
    socket,
    {
      ended: (code) => (code ? stream.destroy(new Error(code)) : stream.end()),
      received: (datagram) => {
        if (!stream.writableNeedDrain && stream.writable) stream.write(withLength(datagram))
      },
    },
    UDP_IDLE_MS,
  )
  stream.on('data', (chunk: Buffer) => {
    for (const datagram of decoder.push(chunk)) flow.send(datagram)
  })
  stream.once('end', () => flow.close()).once('close', () => flow.close())
}
