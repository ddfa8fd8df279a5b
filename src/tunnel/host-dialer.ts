import { once } from 'node:events'
import net, { isIPv6 } from 'node:net'
import { messageOf, systemCode } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import { DialError, OUTSIDE, serveDialSession } from '../wire/dial-session.ts'
import type { Carrier } from './carrier.ts'
import { lookupHost, type NameOptions } from './host-names.ts'
import { contains } from '../base/cidr.ts'

/** As long as a browser or curl would wait at most; the kernel's own patience is two minutes. */
const CONNECT_LIMIT_MS = 30_000

/** What the dialer works with. */
export type HostDialerOptions = {
  carrier: Pick<Carrier, 'open'>
  logger: Logger
  /** How names are found just now. */
  names: () => NameOptions
  /** CIDRs that lead to the cluster just now. */
  subnets: () => readonly string[]
}

/**
 * Dials for processes of the host (`tpx proxy`, `tpx curl`), as a container of the connection would: what the kernel of this
 * namespace says of a connection is the answer. Only into the cluster: not to this namespace's loopback, nor to the engine's networks.
 */
export class HostDialer {
  readonly #options: HostDialerOptions

  constructor(options: HostDialerOptions) {
    this.#options = options
  }

  /** Opens the stream that the link asked for, and serves it. @throws TpxError CARRIER_FAILED */
  async open(id: string): Promise<void> {
    const stream = await this.#options.carrier.open({ id, kind: 'dial' })
    stream.on('error', (error) => this.#options.logger.debug({ reason: messageOf(error) }, 'a dial stream failed'))
    serveDialSession(stream, (target, signal) => this.dial(target, signal))
  }

  /** @throws DialError */
  async dial({ host, port }: { host: string; port: number }, signal: AbortSignal): Promise<net.Socket> {
    const { names, subnets } = this.#options
    const addresses = await lookupHost(host, names())
    const inside = addresses.filter((address) => isWithin(address, subnets()))
    let failure = new DialError(OUTSIDE)
    for (const address of inside) {
      signal.throwIfAborted()
      try {
        return await connect(address, port, signal)
      } catch (error) {
        failure = new DialError(systemCode(error) ?? 'ETIMEDOUT')
      }
    }
    throw failure
  }
}

function isWithin(address: string, subnets: readonly string[]): boolean {
  const host = `${address}/${isIPv6(address) ? 128 : 32}`
  return subnets.some((cidr) => contains(cidr, host))
}

async function connect(address: string, port: number, signal: AbortSignal): Promise<net.Socket> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(CONNECT_LIMIT_MS)])
  const socket = net.connect({ allowHalfOpen: true, host: address, noDelay: true, port })
  try {
    await once(socket, 'connect', { signal: limit })
    return socket
  } catch (error) {
    socket.destroy()
    throw limit.aborted ? new DialError('ETIMEDOUT') : error
  }
}
