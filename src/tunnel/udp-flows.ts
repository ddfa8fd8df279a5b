import type { Logger } from '../base/logger.ts'
import { MAX_QUOTE } from '../netstack/icmp.ts'
import { formatAddress } from '../netstack/ip-address.ts'
import { copyPacket, type IpPacket } from '../netstack/ip-packet.ts'
import { encodeUdpDatagram, MAX_UDP_DATA, type UdpDatagram } from '../netstack/udp-datagram.ts'
import type { Dialer, UdpFlow } from './dialer.ts'
import { flowKey } from './flow-key.ts'
import { answerDatagram } from './icmp.ts'

/** Flows at once; the one that was silent longest goes first. Conntrack's default on a small machine is of that size. */
export const MAX_FLOWS = 2048
/** A flow without datagrams either way is forgotten, as conntrack does (nf_conntrack_udp_timeout_stream). */
export const IDLE_MS = 120_000

/** What the flows need. */
export type UdpFlowsOptions = {
  dialer: Pick<Dialer, 'udp'>
  logger: Logger
  /** Sends a packet into the namespace. */
  send: (packet: Uint8Array) => void
}

type Entry = { address: string; flow: UdpFlow; timer: NodeJS.Timeout }

/** One flow towards the cluster for each pair of addresses and ports. */
export class UdpFlows {
  // In order of use: the first entry was silent longest.
  readonly #entries = new Map<string, Entry>()
  readonly #options: UdpFlowsOptions

  constructor(options: UdpFlowsOptions) {
    this.#options = options
  }

  /** Flows that are open just now. */
  get size(): number {
    return this.#entries.size
  }

  /** Takes a datagram out of the device. The packet is not kept. */
  onDatagram(packet: IpPacket, datagram: UdpDatagram): void {
    const source = { address: formatAddress(packet.source), port: datagram.sourcePort }
    const destination = { address: formatAddress(packet.destination), port: datagram.destinationPort }
    const key = flowKey(source, destination)
    const entry = this.#use(key) ?? this.#open(key, packet, datagram)
    entry.flow.send(datagram.data.slice())
  }

  /** Ends the flows to addresses for which `isLost` is true. */
  closeFlows(isLost: (address: string) => boolean): void {
    for (const [key, { address }] of this.#entries) if (isLost(address)) this.#close(key)
  }

  /** Ends all flows. */
  stop(): void {
    this.closeFlows(() => true)
  }

  /** An open flow, moved to the end of the order. */
  #use(key: string): Entry | undefined {
    const entry = this.#entries.get(key)
    if (!entry) return undefined
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    entry.timer.refresh()
    return entry
  }

  #open(key: string, packet: IpPacket, { destinationPort, sourcePort }: UdpDatagram): Entry {
    const [oldest] = this.#entries.keys()
    if (this.#entries.size >= MAX_FLOWS && oldest !== undefined) this.#close(oldest)
    // As much as an ICMP error quotes.
    const first = copyPacket(packet, MAX_QUOTE[packet.version])
    const { dialer, send } = this.#options
    const address = formatAddress(packet.destination)
    const flow = dialer.udp(
      { address, port: destinationPort },
      {
        onClose: (code) => {
          if (this.#entries.get(key) !== entry) return
          const answer = answerDatagram(first, code)
          if (answer) send(answer)
          this.#forget(key, entry)
        },
        onDatagram: (data) => {
          if (this.#entries.get(key) !== entry || data.length > MAX_UDP_DATA[first.version]) return
          this.#use(key)
          send(encodeUdpDatagram(first.destination, first.source, { data, destinationPort: sourcePort, sourcePort: destinationPort }))
        },
      },
    )
    const entry: Entry = { address, flow, timer: setTimeout(() => this.#close(key), IDLE_MS).unref() }
    this.#entries.set(key, entry)
    return entry
  }

  #close(key: string): void {
    const entry = this.#entries.get(key)
    if (!entry) return
    this.#forget(key, entry)
    entry.flow.close()
  }

  #forget(key: string, entry: Entry): void {
    this.#entries.delete(key)
    clearTimeout(entry.timer)
  }
}
