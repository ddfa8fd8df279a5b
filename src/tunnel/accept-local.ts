import { closeSync } from 'node:fs'
import { endianness } from 'node:os'
import { TpxError } from '../base/error.ts'
import { errnoName, interfaceIndex, receive, send, socket } from './libc.ts'

// linux/netlink.h, linux/rtnetlink.h, linux/if_link.h, linux/ip.h
const AF_NETLINK = 16
const SOCK_RAW = 3
const SOCK_CLOEXEC = 0o2000000
const NETLINK_ROUTE = 0
const RTM_SETLINK = 19
const NLM_F_REQUEST_ACK = 5
const IFLA_AF_SPEC = 26
const AF_INET = 2
const IFLA_INET_CONF = 1
const IPV4_DEVCONF_ACCEPT_LOCAL = 23
const NLMSG_HEADER_BYTES = 16
const IFINFO_BYTES = 16

/**
 * Lets a device receive packets whose source is one of the machine's own addresses: the written-back SYN is such a packet.
 * By rtnetlink, because that needs NET_ADMIN only, while /proc/sys is read-only in a container.
 * @throws TpxError TUNNEL_FAILED when the kernel refuses
 */
export function acceptLocal(device: string): void {
  const spec = attribute(IFLA_AF_SPEC, attribute(AF_INET, attribute(IFLA_INET_CONF, attribute(IPV4_DEVCONF_ACCEPT_LOCAL, word(1)))))
  const link = Buffer.alloc(IFINFO_BYTES)
  link.set(word(interfaceIndex(device)), 4)
  const header = Buffer.alloc(NLMSG_HEADER_BYTES)
  header.set(word(NLMSG_HEADER_BYTES + link.length + spec.length), 0)
  header.set(halfWord(RTM_SETLINK), 4)
  header.set(halfWord(NLM_F_REQUEST_ACK), 6)
  const errno = exchange(Buffer.concat([header, link, spec]))
  if (errno !== 0) throw new TpxError('TUNNEL_FAILED', `Cannot set accept_local on "${device}": ${errnoName(errno)}`)
}

/** Sends one request and reads the errno out of its acknowledgement. */
function exchange(message: Buffer): number {
  const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)
  if (fd < 0) throw new TpxError('TUNNEL_FAILED', `Cannot open a netlink socket: ${errnoName()}`)
  try {
    const reply = Buffer.alloc(512)
    if (send(fd, message, message.length, 0) < 0 || receive(fd, reply, reply.length, 0) < NLMSG_HEADER_BYTES + 4)
      throw new TpxError('TUNNEL_FAILED', `Cannot talk to the kernel over netlink: ${errnoName()}`)
    return -(endianness() === 'LE' ? reply.readInt32LE(NLMSG_HEADER_BYTES) : reply.readInt32BE(NLMSG_HEADER_BYTES))
  } finally {
    closeSync(fd)
  }
}

// Every body here is a multiple of four bytes, so no padding is needed.
function attribute(type: number, body: Uint8Array): Buffer {
  return Buffer.concat([halfWord(4 + body.length), halfWord(type), body])
}

// Netlink speaks the machine's own byte order, as typed arrays do.
function word(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer)
}

function halfWord(value: number): Uint8Array {
  return new Uint8Array(Uint16Array.of(value).buffer)
}
