// A process of the host lets the tunnel dial for it, over one stream through the link: a mux whose requests are those of
// data-stream.ts, with the destination as a container of the connection would write it, a name or an address.
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { systemCode } from '../base/error.ts'
import { formatRequest, type HostPort, parseRequest } from './data-stream.ts'
import { join } from './join.ts'
import { DialError, Mux, type Offer } from './mux.ts'
import { Pipe } from './pipe.ts'

/** Error code of a dial: neither the name nor the address belongs to the cluster. All others are Node's system error codes. */
export const OUTSIDE = 'EOUTSIDE'

/** A side that stands still for so long is given up. */
const SILENT_MS = 10_000

/** A connection that the tunnel has made: its bytes, and how it is joined with a socket so that FIN and reset stay what they are. */
export type Dialed = { joinWith(socket: Socket): void; stream: Duplex }

/** The host's side of a session. */
export interface DialSession {
  /** Settles when the session has ended. */
  readonly closed: Promise<void>
  readonly isClosed: boolean
  close(): void
  /** @throws DialError with {@link OUTSIDE}, ENOTFOUND, EAI_AGAIN (no answer of the cluster's DNS), or what connect(2) came to */
  dial(target: HostPort, signal: AbortSignal): Promise<Dialed>
}

/** @param stream to the tunnel, at its first byte */
export function openDialSession(stream: Duplex): DialSession {
  const mux = muxOver(stream, 'client')
  const { promise: closed, resolve } = Promise.withResolvers<void>()
  mux.onClose = () => resolve()
  return {
    closed,
    get isClosed() {
      return mux.pipe.isClosed
    },
    close: () => mux.destroy(),
    dial: async (destination, signal) => {
      const opened = await mux.open(formatRequest({ destination, protocol: 'tcp' }), signal)
      return { joinWith: (socket) => join(opened, socket), stream: opened }
    },
  }
}

/** The tunnel's side. @param dial answers the connected socket, which must allow half-open, or throws an error with a code */
export function serveDialSession(stream: Duplex, dial: (target: HostPort, signal: AbortSignal) => Promise<Socket>): void {
  const answer = async ({ accept, gone, refuse, request }: Offer): Promise<void> => {
    const asked = parseRequest(request)
    if (asked?.protocol !== 'tcp') return refuse('EOPNOTSUPP')
    try {
      const socket = await dial(asked.destination, gone)
      if (gone.aborted) return void socket.on('error', () => {}).resetAndDestroy()
      join(accept(), socket)
    } catch (error) {
      refuse(systemCode(error) ?? 'ECONNRESET')
    }
  }
  muxOver(stream, 'server').onOffer = (offer) => void answer(offer)
}

/** A pipe of one strand: what is lost with the stream is lost, for the tunnel may be another one afterwards. */
function muxOver(stream: Duplex, side: 'client' | 'server'): Mux {
  const mux = new Mux(new Pipe({ graceMs: 0, pings: side === 'client', silentMs: SILENT_MS }), side)
  mux.pipe.attach(stream, 0)
  return mux
}

export { DialError }
