import { systemCode } from '../base/error.ts'
import { LengthPrefixReader, withLength } from '../base/length-prefix.ts'
import { parseRequest } from '../wire/data-stream.ts'
import { join } from '../wire/join.ts'
import type { Mux, Offer } from '../wire/mux.ts'
import type { MuxStream } from '../wire/mux-stream.ts'
import { type Dialer, UDP_IDLE_MS } from './dialer.ts'
import { UdpFlow } from './udp-flow.ts'

/** Dials what a client's tunnel asks for, until the mux or the client's session ends. */
export function serveData(mux: Mux, dialer: Dialer, ended: AbortSignal): void {
  mux.onOffer = (offer) => void answer(offer, dialer)
  const end = (): void => mux.destroy(new Error('The session ended'))
  mux.onClose = () => ended.removeEventListener('abort', end)
  ended.addEventListener('abort', end, { once: true })
  if (ended.aborted) end()
}

async function answer({ accept, gone, refuse, request }: Offer, dialer: Dialer): Promise<void> {
  const wanted = parseRequest(request)
  if (!wanted) return refuse('EPROTONOSUPPORT')
  const { host, port } = wanted.destination
  if (!(port > 0 && port < 65_536)) return refuse('EADDRNOTAVAIL')
  const destination = { address: host, port }
  try {
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
