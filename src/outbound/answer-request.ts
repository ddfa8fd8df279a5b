import { systemCode } from '../base/error.ts'
import { LengthPrefixReader, withLength } from '../base/length-prefix.ts'
import { parseRequest } from '../wire/data-stream.ts'
import { join } from '../wire/join.ts'
import type { Offer } from '../wire/mux.ts'
import type { MuxStream } from '../wire/mux-stream.ts'
import { type Dialer, UDP_IDLE_MS } from './dialer.ts'
import { EchoFlow } from './echo-flow.ts'
import { UdpFlow } from './udp-flow.ts'

/** Answers one request of a client: dials what it asks for and joins the two, or refuses with the system error code. Never rejects. */
export async function answerRequest({ accept, gone, refuse, request }: Offer, dialer: Dialer): Promise<void> {
  const wanted = parseRequest(request)
  if (!wanted) return refuse('EPROTONOSUPPORT')
  const { host, port } = wanted.destination
  const destination = { address: host, port }
  try {
    if (wanted.protocol === 'icmp') return await joinEcho(accept, host, dialer)
    if (!(port > 0 && port < 65_536)) return refuse('EADDRNOTAVAIL')
    if (wanted.protocol === 'udp') return joinDatagrams(accept(), await dialer.udp(destination, gone))
    const socket = await dialer.tcp(destination, gone)
    join(accept(), socket)
  } catch (error) {
    refuse(systemCode(error) ?? 'ECONNREFUSED')
  }
}

/** Datagrams that the client does not take in time are dropped, as a full queue of a router would. */
function joinDatagrams(stream: MuxStream, socket: Awaited<ReturnType<Dialer['udp']>>): void {
  if (stream.destroyed) return void socket.close()
  const flow = new UdpFlow(
    socket,
    { ended: (code) => (code ? stream.destroy(new Error(code)) : stream.end()), received: (datagram) => writeFrame(stream, datagram) },
    UDP_IDLE_MS,
  )
  readFrames(stream, { close: () => flow.close(), onFrame: (datagram) => flow.send(datagram) })
}

async function joinEcho(accept: () => MuxStream, address: string, dialer: Dialer): Promise<void> {
  let stream: MuxStream | undefined
  const flow = await EchoFlow.open(dialer, address, {
    onEnded: () => void stream?.end(),
    onMessage: (message) => stream && writeFrame(stream, message),
  })
  stream = accept()
  if (stream.destroyed) return flow.close()
  readFrames(stream, { close: () => flow.close(), onFrame: (message) => flow.onMessage(message) })
}

function writeFrame(stream: MuxStream, frame: Uint8Array): void {
  if (!stream.writableNeedDrain && stream.writable) stream.write(withLength(frame))
}

function readFrames(stream: MuxStream, { close, onFrame }: { close: () => void; onFrame: (frame: Buffer) => void }): void {
  const decoder = new LengthPrefixReader()
  stream.on('data', (chunk: Buffer) => {
    for (const frame of decoder.push(chunk)) onFrame(frame)
  })
  stream.once('end', close).once('close', close)
}
