import type { Socket } from 'node:net'
import { errnoName, setsockopt } from './libc.ts'

// asm-generic/socket.h, linux/in.h, linux/in6.h
const SOL_SOCKET = 1
const SO_REUSEADDR = 2
const SO_LINGER = 13
const SOL_IP = 0
const IP_TRANSPARENT = 19
const SOL_IPV6 = 41
const IPV6_TRANSPARENT = 75

/** The file descriptor behind a Node socket; undefined once it is closed. Node keeps it in a private field. */
export function fileDescriptor(owner: Socket): number | undefined {
  const fd = (owner as unknown as { _handle?: { fd?: number } | null })._handle?.fd
  return fd !== undefined && fd >= 0 ? fd : undefined
}

/** Lets a socket own addresses that the machine does not have. Needs NET_ADMIN. @see ip(7) */
export function setTransparent(fd: number, family: 4 | 6): void {
  if (family === 4) setInts(fd, SOL_IP, IP_TRANSPARENT, [1])
  else setInts(fd, SOL_IPV6, IPV6_TRANSPARENT, [1])
}

/** @see socket(7) */
export function setReuseAddress(fd: number): void {
  setInts(fd, SOL_SOCKET, SO_REUSEADDR, [1])
}

/**
 * With `isReset` closing the socket is a reset, and so is the death of this process; accepted sockets inherit it from their
 * listener. Without it closing sends what is left and then a FIN. @see socket(7) SO_LINGER
 */
export function setCloseIsReset(fd: number, isReset: boolean): void {
  setInts(fd, SOL_SOCKET, SO_LINGER, [isReset ? 1 : 0, 0])
}

function setInts(fd: number, level: number, name: number, values: number[]): void {
  const bytes = new Uint8Array(Int32Array.from(values).buffer)
  if (setsockopt(fd, level, name, bytes, bytes.length) < 0) throw new Error(`setsockopt ${level}/${name}: ${errnoName()}`)
}
