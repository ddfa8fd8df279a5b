import type { MuxStream } from '../wire/mux-stream.ts'

/** An address in text (IPv4 or IPv6 without brackets) and a port. */
export type Destination = { address: string; port: number }

/** One UDP flow towards the cluster. */
export interface UdpFlow {
  /** Sends one datagram's payload; may drop it, as a network does, when the far side is slower. The bytes are the callee's. */
  send(data: Uint8Array): void
  /** Ends the flow; no handler is called afterwards. */
  close(): void
}

/** What a flow tells its owner. */
export type UdpHandlers = {
  /** One datagram's payload from the far side. */
  onDatagram: (data: Uint8Array) => void
  /** The far side ended the flow. `errorCode` is a system error code; ECONNREFUSED means that nobody listens on the port. */
  onClose: (errorCode?: string) => void
}

/** What pings towards the cluster tell their owner. */
export type EchoHandlers = {
  /** The flow is over. `errorCode`: EACCES when the far side may not send pings; otherwise as of {@link UdpHandlers.onClose}. */
  onClose: (errorCode?: string) => void
  /** A request was not delivered. `code` is a system error code. */
  onError: (sequence: number, code: string) => void
  onReply: (sequence: number, data: Uint8Array) => void
}

/** The pings of one app to one address. */
export interface EchoFlow {
  /** Ends the flow; no handler is called afterwards. */
  close(): void
  /** Sends one echo request, or drops it as a network does. The bytes are the callee's. */
  send(sequence: number, data: Uint8Array): void
}

/** Opens connections from within the cluster. */
export interface Dialer {
  /** Opens a flow of ICMP echo at once. */
  echo(address: string, handlers: EchoHandlers): EchoFlow
  /**
   * Asks the cluster side to connect and waits for its verdict.
   * While the session is being opened again it waits some seconds, so that a restart of the link passes unnoticed.
   * @param options `source`: who asks, in this network namespace; `signal`: aborts when the app no longer waits
   * @returns the open stream; its end is a FIN, a destroyed stream a reset
   * @throws DialError with what the app is to see: ECONNREFUSED; EHOSTUNREACH, also when no session came in time; ENETUNREACH;
   * ETIMEDOUT, also when the verdict was lost with the session: silence, the app's kernel asks again; ECONNRESET: the far side
   * accepted and reset at once
   */
  tcp(destination: Destination, options: { signal: AbortSignal; source: Destination }): Promise<MuxStream>
  /** Opens a flow at once; datagrams sent before the far side is ready are kept or dropped at the dialer's choice. */
  udp(destination: Destination, handlers: UdpHandlers): UdpFlow
}
