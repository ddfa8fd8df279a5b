// SOCKS protocol version 5 (RFC 1928), without authentication, command CONNECT:
//   client --05, n, n methods--> proxy;  proxy --05, method--> client
//   client --05, command, 00, address type, address, port--> proxy;  proxy --05, reply, 00, 01, 0.0.0.0, 0--> client
// Address types: 01 IPv4 (4 bytes), 03 name (one byte of length before it), 04 IPv6 (16 bytes).
import type { Socket } from 'node:net'
import { isIP } from 'node:net'
import { type Dial, type DialFailure, dialFailure, isHost, type Target } from './dial.ts'

const VERSION = 5
const NO_AUTHENTICATION = 0
const NO_ACCEPTABLE_METHOD = 0xff
const CONNECT = 1
const IPV4 = 1
const NAME = 3
const IPV6 = 4

/** RFC 1928 §6. */
const REPLY = {
  succeeded: 0,
  generalFailure: 1,
  networkUnreachable: 3,
  hostUnreachable: 4,
  connectionRefused: 5,
  commandNotSupported: 7,
  addressTypeNotSupported: 8,
} as const

const REPLIES: Record<string, number> = {
  ECONNREFUSED: REPLY.connectionRefused,
  ENETUNREACH: REPLY.networkUnreachable,
  EHOSTUNREACH: REPLY.hostUnreachable,
  ENOTFOUND: REPLY.hostUnreachable,
  ETIMEDOUT: REPLY.hostUnreachable,
}

/** A request that cannot be granted, whoever is dialed. */
class Refused extends Error {
  readonly reply: number
  constructor(reply: number) {
    super(`Refused with ${reply}`)
    this.name = 'Refused'
    this.reply = reply
  }
}

/** Serves one client, from its first byte on. Never rejects. */
export async function serveSocks5(
  socket: Socket,
  { dial, onFailure }: { dial: Dial; onFailure: (failure: DialFailure) => void },
): Promise<void> {
  const gone = new AbortController()
  const abort = (): void => gone.abort()
  socket.on('error', abort).once('close', abort)
  let target: Target | undefined
  try {
    target = await negotiate(socket)
    const dialed = await dial(target, gone.signal)
    socket.off('error', abort).off('close', abort)
    // Nobody has taken the other end yet: joining with a socket that is gone resets it.
    socket.write(reply(REPLY.succeeded))
    dialed.joinWith(socket)
    if (socket.destroyed) dialed.stream.destroy()
  } catch (error) {
    if (target && !gone.signal.aborted) onFailure(dialFailure(error, target))
    if (socket.destroyed) return
    socket.end(error instanceof Refused ? reply(error.reply) : reply(REPLIES[dialCode(error)] ?? REPLY.generalFailure))
    socket.resume()
  }
}

function dialCode(error: unknown): string {
  return String((error as { code?: unknown }).code)
}

async function negotiate(socket: Socket): Promise<Target> {
  const [version, count = 0] = await readBytes(socket, 2)
  if (version !== VERSION) throw new Refused(REPLY.generalFailure)
  const methods = await readBytes(socket, count)
  const isOpen = methods.includes(NO_AUTHENTICATION)
  socket.write(Buffer.of(VERSION, isOpen ? NO_AUTHENTICATION : NO_ACCEPTABLE_METHOD))
  if (!isOpen) throw new Refused(REPLY.generalFailure)
  const [, command, , type = 0] = await readBytes(socket, 4)
  const host = await readAddress(socket, type)
  const port = (await readBytes(socket, 2)).readUInt16BE()
  if (command !== CONNECT) throw new Refused(REPLY.commandNotSupported)
  if (!isHost(host) || port === 0) throw new Refused(REPLY.hostUnreachable)
  return { host, port }
}

async function readAddress(socket: Socket, type: number): Promise<string> {
  switch (type) {
    case IPV4:
      return (await readBytes(socket, 4)).join('.')
    case IPV6: {
      const hex = (await readBytes(socket, 16)).toString('hex')
      return [...hex.matchAll(/.{4}/g)].map(([group]) => group.replace(/^0{1,3}/, '')).join(':')
    }
    case NAME: {
      const [length = 0] = await readBytes(socket, 1)
      const name = (await readBytes(socket, length)).toString('latin1')
      // Some clients put an address with brackets where a name belongs.
      return isIP(name.replaceAll(/^\[|\]$/g, '')) ? name.replaceAll(/^\[|\]$/g, '') : name
    }
    default:
      throw new Refused(REPLY.addressTypeNotSupported)
  }
}

function reply(code: number): Buffer {
  return Buffer.of(VERSION, code, 0, IPV4, 0, 0, 0, 0, 0, 0)
}

/** Reads exactly so many bytes; what came with them is put back, and the socket is paused. */
function readBytes(socket: Socket, count: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let seen = Buffer.alloc(0)
    const stop = (): void => void socket.off('data', onData).off('end', onEnd).off('close', onEnd)
    const onEnd = (): void => {
      stop()
      reject(new Refused(REPLY.generalFailure))
    }
    const onData = (chunk: Buffer): void => {
      seen = Buffer.concat([seen, chunk])
      if (seen.length < count) return
      stop()
      socket.pause()
      if (seen.length > count) socket.unshift(seen.subarray(count))
      resolve(seen.subarray(0, count))
    }
    if (count === 0) return void resolve(seen)
    socket.on('data', onData).once('end', onEnd).once('close', onEnd).resume()
  })
}
