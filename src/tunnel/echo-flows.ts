// Pings: app --echo request--> device --> EchoFlows --> cluster, which sends a real one;  reply or error --> device --> app.
// Nothing is answered here by itself: a reply means that the far side has replied.
import { type Echo, encodeEchoReply, MAX_ECHO_DATA, MAX_QUOTE } from '../netstack/icmp.ts'
import { formatAddress } from '../netstack/ip-address.ts'
import { copyPacket, type IpPacket } from '../netstack/ip-packet.ts'
import type { Dialer, EchoFlow } from './dialer.ts'
import { answerEcho } from './icmp.ts'

/** Flows at once; the one that was silent longest goes first. A sweep over a subnet makes one for each address. */
export const MAX_ECHO_FLOWS = 512
/** Longer than the manager's own 30 s, so that a flow is ended by the side that knows. */
const IDLE_MS = 40_000
/** Requests of a flow that an error may still be about. */
const MOST_PENDING = 16
/** The far side does not carry pings at all: not allowed to, no native library, or a version that knows none. */
const REFUSALS = new Set(['EACCES', 'ENOSYS', 'EPERM', 'EPROTONOSUPPORT'])

/** What the flows need. */
export type EchoFlowsOptions = {
  dialer: Pick<Dialer, 'echo'>
  /** The far side does not carry pings; `code` says why. */
  onRefused: (code: string) => void
  /** Sends a packet into the namespace. */
  send: (packet: Uint8Array) => void
}

/** `pending`: the head of each request by its sequence number, for the error that may come. */
type Entry = { address: string; flow: EchoFlow; pending: Map<number, IpPacket>; timer: NodeJS.Timeout }

/** One flow for each app's identifier and pair of addresses. */
export class EchoFlows {
  // In order of use: the first entry was silent longest.
  readonly #entries = new Map<string, Entry>()
  readonly #options: EchoFlowsOptions

  constructor(options: EchoFlowsOptions) {
    this.#options = options
  }

  /** Flows that are open just now. */
  get size(): number {
    return this.#entries.size
  }

  /** Takes a ping out of the device. The packet is not kept. */
  onRequest(packet: IpPacket, echo: Echo): void {
    const address = formatAddress(packet.destination)
    const key = `${formatAddress(packet.source)} ${address} ${echo.identifier}`
    const entry = this.#entries.get(key) ?? this.#open(key, packet, echo.identifier)
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    entry.timer.refresh()
    entry.pending.set(echo.sequence, copyPacket(packet, MAX_QUOTE[packet.version]))
    const [oldest] = entry.pending.keys()
    if (entry.pending.size > MOST_PENDING && oldest !== undefined) entry.pending.delete(oldest)
    entry.flow.send(echo.sequence, echo.data.slice())
  }

  /** Ends the flows to addresses for which `isLost` is true. */
  closeFlows(isLost: (address: string) => boolean): void {
    for (const [key, { address }] of this.#entries) if (isLost(address)) this.#close(key)
  }

  /** Ends all flows. */
  stop(): void {
    this.closeFlows(() => true)
  }

  #open(key: string, packet: IpPacket, identifier: number): Entry {
    const [oldest] = this.#entries.keys()
    if (this.#entries.size >= MAX_ECHO_FLOWS && oldest !== undefined) this.#close(oldest)
    const { dialer, onRefused, send } = this.#options
    const destination = packet.destination.slice()
    const source = packet.source.slice()
    const address = formatAddress(destination)
    const pending = new Map<number, IpPacket>()
    const tellError = (sequence: number, code: string | undefined): void => {
      const request = pending.get(sequence)
      const answer = request && answerEcho(request, code)
      pending.delete(sequence)
      if (answer) send(answer)
    }
    const flow = dialer.echo(address, {
      onClose: (code) => {
        if (this.#entries.get(key) !== entry) return
        for (const sequence of pending.keys()) tellError(sequence, code)
        this.#forget(key, entry)
        if (code !== undefined && REFUSALS.has(code)) onRefused(code)
      },
      onError: tellError,
      onReply: (sequence, data) => {
        if (this.#entries.get(key) !== entry || data.length > MAX_ECHO_DATA[packet.version]) return
        pending.delete(sequence)
        send(encodeEchoReply(destination, source, { data, identifier, sequence }))
      },
    })
    const entry: Entry = { address, flow, pending, timer: setTimeout(() => this.#close(key), IDLE_MS).unref() }
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
