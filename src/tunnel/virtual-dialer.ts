import { DialError } from '../wire/mux.ts'
import type { Destination, Dialer, EchoFlow, EchoHandlers, UdpFlow, UdpHandlers } from './dialer.ts'
import type { VirtualAddresses } from './virtual-addresses.ts'

type Ways = {
  addresses: Pick<VirtualAddresses, 'toReal'>
  /** Dials from the traffic-manager. */
  manager: Dialer
  /** Dials from a Pod of a workload. */
  ofWorkload: (workload: string) => Dialer
}

/** Dials what virtual addresses stand for; apps see the virtual ones only. */
export class VirtualDialer implements Dialer {
  readonly #ways: Ways

  constructor(ways: Ways) {
    this.#ways = ways
  }

  async tcp(destination: Destination, options: { signal: AbortSignal; source: Destination }): ReturnType<Dialer['tcp']> {
    const way = this.#way(destination.address)
    if (!way) throw new DialError('EHOSTUNREACH')
    return way.dialer.tcp({ ...destination, address: way.address }, options)
  }

  udp(destination: Destination, handlers: UdpHandlers): UdpFlow {
    const way = this.#way(destination.address)
    return way ? way.dialer.udp({ ...destination, address: way.address }, handlers) : unreachable(handlers.onClose)
  }

  echo(address: string, handlers: EchoHandlers): EchoFlow {
    const way = this.#way(address)
    return way ? way.dialer.echo(way.address, handlers) : unreachable(handlers.onClose)
  }

  /** Undefined for a virtual address that nobody was given. */
  #way(address: string): { address: string; dialer: Dialer } | undefined {
    const { addresses, manager, ofWorkload } = this.#ways
    const real = addresses.toReal(address)
    if (real === undefined) return { address, dialer: manager }
    return real ? { address: real.address, dialer: real.workload === null ? manager : ofWorkload(real.workload) } : undefined
  }
}

/** A flow that tells its owner so, after the owner has got it. */
function unreachable(onClose: (errorCode: string) => void): { close(): void; send(): void } {
  let isOpen = true
  setImmediate(() => {
    if (isOpen) onClose('EHOSTUNREACH')
  })
  return { close: () => void (isOpen = false), send: () => {} }
}
