import type http2 from 'node:http2'
import { LengthPrefixReader, withLength } from '../base/length-prefix.ts'
import { systemCode } from '../base/error.ts'
import { parseAuthority, PROTOCOL_HEADER, refuse } from '../wire/data-stream.ts'
import { join } from '../wire/join.ts'
import { type Dialer, UDP_IDLE_MS } from './dialer.ts'
import { EchoFlow } from './echo-flow.ts'
import { UdpFlow } from './udp-flow.ts'

/** Answers one request of a data session: dials what it asks for and joins the two, or refuses with the system error code. Never rejects. */
export async function answerRequest(stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders, dialer: Dialer): Promise<void> {
  if (headers[':method'] !== 'CONNECT') return refuse(stream, 'EPROTONOSUPPORT')
  const { host, port } = parseAuthority(headers[':authority'] ?? '')
  const destination = { address: host, port }
  const gone = new AbortController()
  const abort = (): void => gone.abort()
  stream.once('close', abort)
  try {
    if (headers[PROTOCOL_HEADER] === 'icmp') return await joinEcho(stream, host, dialer)
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
  const flow = new UdpFlow(
    socket,
    { ended: (code) => (code ? stream.destroy(new Error(code)) : stream.end()), received: (datagram) => writeFrame(stream, datagram) },
    UDP_IDLE_MS,
  )
  readFrames(stream, { close: () => flow.close(), onFrame: (datagram) => flow.send(datagram) })
}

async function joinEcho(stream: http2.ServerHttp2Stream, address: string, dialer: Dialer): Promise<void> {
  const flow = await EchoFlow.open(dialer, address, {
    onEnded: () => void stream.end(),
    onMessage: (message) => writeFrame(stream, message),
  })
  if (stream.destroyed) return flow.close()
  stream.respond({ ':status': 200 })
  readFrames(stream, { close: () => flow.close(), onFrame: (message) => flow.onMessage(message) })
}

function writeFrame(stream: http2.ServerHttp2Stream, frame: Uint8Array): void {
  if (!stream.writableNeedDrain && stream.writable) stream.write(withLength(frame))
}

function readFrames(stream: http2.ServerHttp2Stream, { close, onFrame }: { close: () => void; onFrame: (frame: Buffer) => void }): void {
  const decoder = new LengthPrefixReader()
  stream.on('data', (chunk: Buffer) => {
    for (const frame of decoder.push(chunk)) onFrame(frame)
  })
  stream.once('end', close).once('close', close)
}
