// Real ICMP echo without a capability: "ping sockets" (icmp(7)), SOCK_DGRAM with IPPROTO_ICMP. The kernel allows them to the groups in
// the sysctl net.ipv4.ping_group_range, fills in identifier and checksum, and hands over only replies to what was sent.
import { closeSync } from 'node:fs'
import { DialError } from '../wire/mux.ts'

// Kernel ABI: asm-generic values, the same on x86-64 and arm64.
const AF_INET = 2
const AF_INET6 = 10
const SOCK_DGRAM = 2
const SOCK_NONBLOCK = 0o4000
const SOCK_CLOEXEC = 0o2000000
const IPPROTO_ICMP = 1
const IPPROTO_ICMPV6 = 58
const SOL_IP = 0
const IP_RECVERR = 11
const SOL_IPV6 = 41
const IPV6_RECVERR = 25
const MSG_ERRQUEUE = 0x2000

/** Echo request and reply (RFC 792, RFC 4443 §4): type, code 0, checksum, identifier, sequence number, data. */
const ECHO = { 4: { reply: 0, request: 8 }, 6: { reply: 129, request: 128 } } as const
const HEADER_BYTES = 8
const MAX_PACKET_BYTES = 65_535
/** Replies read before Node's other events get their turn. */
const BURST = 32

type Libc = typeof import('./libc.ts')

/** What a ping socket tells. `sequence` is that of the echo request. */
export type PingHandlers = {
  /** The kernel or a router says that a request was not delivered; `code` is a system error code. */
  onError: (sequence: number, code: string) => void
  onReply: (sequence: number, data: Uint8Array) => void
}

/** Sends echo requests to one address. */
export interface PingSocket {
  close(): void
  /** Sends one request; what fails at once is told to `onError`. */
  send(sequence: number, data: Uint8Array): void
}

/**
 * Opens a ping socket to an address.
 * @throws DialError EACCES when the kernel does not allow it to this process (net.ipv4.ping_group_range), EAFNOSUPPORT without IPv6,
 * ENETUNREACH without a route
 */
export async function openPingSocket(address: Uint8Array, handlers: PingHandlers): Promise<PingSocket> {
  const libc = await import('./libc.ts').catch((cause: unknown) => {
    throw Object.assign(new DialError('ENOSYS'), { cause })
  })
  const version = address.length === 16 ? 6 : 4
  const [domain, protocol] = version === 6 ? [AF_INET6, IPPROTO_ICMPV6] : [AF_INET, IPPROTO_ICMP]
  const fd = libc.socket(domain, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol)
  if (fd < 0) throw new DialError(libc.errnoName())
  const on = new Uint8Array(Int32Array.of(1).buffer)
  if (version === 6) libc.setsockopt(fd, SOL_IPV6, IPV6_RECVERR, on, on.length)
  else libc.setsockopt(fd, SOL_IP, IP_RECVERR, on, on.length)
  const name = socketAddress(address, domain)
  if (libc.connect(fd, name, name.length) < 0) {
    const code = libc.errnoName()
    closeSync(fd)
    throw new DialError(code)
  }

  return new KernelPingSocket(fd, { handlers, libc, version })
}

class KernelPingSocket implements PingSocket {
  readonly #fd: number
  readonly #handlers: PingHandlers
  readonly #libc: Libc
  readonly #poll: { close(): void }
  readonly #version: 4 | 6
  #isOpen = true

  constructor(fd: number, options: { handlers: PingHandlers; libc: Libc; version: 4 | 6 }) {
    this.#fd = fd
    this.#handlers = options.handlers
    this.#libc = options.libc
    this.#version = options.version
    // koffi calls back outside Node's callback scope, where promises and ticks would wait for some other event: hop out of it.
    this.#poll = options.libc.poll(fd, () => void setImmediate(() => this.#drain()))
  }

  send(sequence: number, data: Uint8Array): void {
    if (!this.#isOpen) return
    const packet = Buffer.alloc(HEADER_BYTES + data.length)
    packet.writeUInt8(ECHO[this.#version].request, 0)
    packet.writeUInt16BE(sequence, 6)
    packet.set(data, HEADER_BYTES)
    // A pending error of an earlier request is reported by send() as well: that one is read first, then this is sent again.
    for (let tries = 0; tries < 2 && this.#libc.send(this.#fd, packet, packet.length, 0) < 0; tries++) {
      const code = this.#libc.errnoName()
      if (!this.#readError(code) || tries === 1) return this.#handlers.onError(sequence, code)
    }
  }

  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#poll.close()
    closeSync(this.#fd)
  }

  #drain(): void {
    const packet = Buffer.allocUnsafe(MAX_PACKET_BYTES)
    for (let count = 0; this.#isOpen && count < BURST; count++) {
      const length = this.#libc.receive(this.#fd, packet, packet.length, 0)
      if (length < 0) {
        const code = this.#libc.errnoName()
        if (code === 'EAGAIN' || code === 'EINTR' || !this.#readError(code)) return
      } else if (length >= HEADER_BYTES && packet[0] === ECHO[this.#version].reply)
        this.#handlers.onReply(packet.readUInt16BE(6), packet.subarray(HEADER_BYTES, length))
    }
  }

  /** The request that an error is about stands in the socket's error queue. @returns false when there was none */
  #readError(code: string): boolean {
    const packet = Buffer.allocUnsafe(HEADER_BYTES)
    if (this.#libc.receive(this.#fd, packet, packet.length, MSG_ERRQUEUE) < HEADER_BYTES) return false
    this.#handlers.onError(packet.readUInt16BE(6), code)
    return true
  }
}

/** sockaddr_in or sockaddr_in6: family in host order, port 0, address. */
function socketAddress(address: Uint8Array, family: number): Uint8Array {
  const isIpv6 = address.length === 16
  const name = Buffer.alloc(isIpv6 ? 28 : 16)
  name.set(new Uint8Array(Uint16Array.of(family).buffer), 0)
  name.set(address, isIpv6 ? 8 : 4)
  return name
}
