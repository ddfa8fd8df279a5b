// How a connection begins (reference: design §4):
//   app --SYN--> device --> SynGate --dial--> cluster;  verdict --> SynGate
//   good: SynGate --the same SYN--> device --> listener --socket--> SynGate, which joins it with the stream
//   bad:  SynGate --RST or ICMP--> device --> app
import type { Duplex } from 'node:stream'
import type { Socket } from 'node:net'
import { messageOf, systemCode } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import { copyPacket, type IpPacket } from '../netstack/ip-packet.ts'
import type { TcpSegment } from '../netstack/tcp-segment.ts'
import { formatAddress } from '../netstack/ip-address.ts'
import { join } from '../wire/join.ts'
import type { Admission } from './admission.ts'
import type { Dialer } from './dialer.ts'
import { Attempt } from './connection-attempt.ts'
import { canonicalAddress, flowKey } from './flow-key.ts'
import { answerRequest } from './icmp.ts'
import { fileDescriptor, setCloseIsReset } from './socket-options.ts'

/** Attempts that may be under way at once; further SYNs are dropped, and the kernel repeats them after a second. */
export const MAX_ATTEMPTS = 4096

/** What the gate needs. */
export type SynGateOptions = {
  admission: Admission
  dialer: Pick<Dialer, 'tcp'>
  logger: Logger
  /** Sends a packet into the namespace. */
  send: (packet: Uint8Array) => void
}

/** A joined connection: `sequence` is the SYN's number that it began with. */
type Connection = { address: string; sequence: number; socket: Socket }

/** Decides whether connections may begin, and joins those that do with their streams. */
export class SynGate {
  readonly #attempts = new Map<string, Attempt>()
  readonly #connections = new Map<string, Connection>()
  readonly #options: SynGateOptions

  constructor(options: SynGateOptions) {
    this.#options = options
  }

  /** Connections that are joined just now. */
  get connections(): number {
    return this.#connections.size
  }

  /** Takes a connection request out of the device. The packet is not kept. */
  onRequest(packet: IpPacket, segment: TcpSegment): void {
    const source = { address: formatAddress(packet.source), port: segment.sourcePort }
    const destination = { address: formatAddress(packet.destination), port: segment.destinationPort }
    const key = flowKey(source, destination)
    // A late copy of a SYN that has done its work.
    if (this.#connections.get(key)?.sequence === segment.sequenceNumber) return
    const old = this.#attempts.get(key)
    if (old?.sequence === segment.sequenceNumber) {
      old.seen()
      // The listener's queue may have been full when it was written back first.
      if (old.isAdmitted) this.#options.send(old.request.bytes)
      return
    }

    if (old) this.#forget(old)
    else if (this.#attempts.size >= MAX_ATTEMPTS) return
    const attempt = new Attempt({
      destination,
      key,
      request: copyPacket(packet),
      segment,
      source,
      onGivenUp: (given) => this.#forget(given),
    })
    this.#attempts.set(key, attempt)
    void this.#run(attempt)
  }

  /** Takes a connection from a listener. */
  onAccepted(socket: Socket): void {
    const { localAddress = '', localPort = 0, remoteAddress = '', remotePort = 0 } = socket
    const destination = { address: canonicalAddress(localAddress), port: localPort }
    const key = flowKey({ address: canonicalAddress(remoteAddress), port: remotePort }, destination)
    const attempt = this.#attempts.get(key)
    const stream = attempt?.take()
    if (attempt) this.#forget(attempt)
    if (!attempt || !stream) {
      // The far side has reset meanwhile, or somebody dialed the listener itself.
      socket.on('error', () => {}).resetAndDestroy()
      return
    }

    const connection = { address: destination.address, sequence: attempt.sequence, socket }
    this.#connections.set(key, connection)
    socket.once('close', () => {
      if (this.#connections.get(key) === connection) this.#connections.delete(key)
    })
    joinAccepted(stream, socket)
  }

  /** Resets the connections to addresses for which `isLost` is true. */
  resetConnections(isLost: (address: string) => boolean): void {
    for (const { address, socket } of this.#connections.values()) if (isLost(address)) socket.resetAndDestroy()
  }

  /** Gives up all attempts and resets all connections. */
  stop(): void {
    for (const attempt of this.#attempts.values()) this.#forget(attempt)
    this.resetConnections(() => true)
  }

  async #run(attempt: Attempt): Promise<void> {
    const { destination, signal, source } = attempt
    try {
      const stream = await this.#options.dialer.tcp(destination, { signal, source })
      if (attempt.admit(stream)) await this.#admit(attempt)
    } catch (error) {
      const code = systemCode(error)
      // As the far side did it: the app gets its connection, and then a reset.
      if (code === 'ECONNRESET' && attempt.admit()) await this.#admit(attempt)
      else this.#refuse(attempt, code)
    }
  }

  async #admit(attempt: Attempt): Promise<void> {
    const { admission, logger, send } = this.#options
    try {
      await admission.open(attempt.destination)
    } catch (error) {
      logger.warn({ destination: attempt.destination, reason: messageOf(error) }, 'connection could not be admitted')
      return this.#refuse(attempt, 'EHOSTUNREACH')
    }

    attempt.onEnded(() => admission.close(attempt.destination))
    if (attempt.isAdmitted) send(attempt.request.bytes)
  }

  /** Answers the app as the network would, unless it has given up. */
  #refuse(attempt: Attempt, code: string | undefined): void {
    const answer = answerRequest(attempt.request, attempt.segment, code)
    if (answer && this.#attempts.get(attempt.key) === attempt) this.#options.send(answer)
    this.#forget(attempt)
  }

  #forget(attempt: Attempt): void {
    if (this.#attempts.get(attempt.key) === attempt) this.#attempts.delete(attempt.key)
    attempt.end()
  }
}

/**
 * Joins so that the death of this process is a reset: the socket was born with "close is reset". That must end when all data
 * and the FIN are the kernel's, or closing would throw away what the app has not read yet.
 */
function joinAccepted(stream: Duplex, socket: Socket): void {
  socket.once('finish', () => {
    const fd = fileDescriptor(socket)
    if (fd !== undefined) setCloseIsReset(fd, false)
  })
  join(stream, socket)
}
