// SFTP version 3: draft-ietf-secsh-filexfer-02. A packet is: u32 length, u8 type, [u32 id], fields; without SSH around it.
import type { Stats } from 'node:fs'
import { FileError } from './file-error.ts'

/** Packet types (§3). */
export const PACKET = {
  INIT: 1,
  VERSION: 2,
  OPEN: 3,
  CLOSE: 4,
  READ: 5,
  WRITE: 6,
  LSTAT: 7,
  FSTAT: 8,
  SETSTAT: 9,
  FSETSTAT: 10,
  OPENDIR: 11,
  READDIR: 12,
  REMOVE: 13,
  MKDIR: 14,
  RMDIR: 15,
  REALPATH: 16,
  STAT: 17,
  RENAME: 18,
  READLINK: 19,
  SYMLINK: 20,
  STATUS: 101,
  HANDLE: 102,
  DATA: 103,
  NAME: 104,
  ATTRS: 105,
  EXTENDED: 200,
  EXTENDED_REPLY: 201,
} as const

/** Error codes (§7). */
export const STATUS = { OK: 0, EOF: 1, NO_SUCH_FILE: 2, PERMISSION_DENIED: 3, FAILURE: 4, BAD_MESSAGE: 5, OP_UNSUPPORTED: 8 } as const

/** Flags of OPEN (§6.3). */
export const OPEN_FLAG = { READ: 1, WRITE: 2, APPEND: 4, CREAT: 8, TRUNC: 16, EXCL: 32 } as const

/** Attributes to set (§5); absent ones stay. Times in seconds. */
export type AttributeChange = { gid?: number; mode?: number; mtime?: number; atime?: number; size?: number; uid?: number }

const ATTRIBUTE = { SIZE: 1, UIDGID: 2, PERMISSIONS: 4, ACMODTIME: 8, EXTENDED: 0x80000000 } as const

/** Reads a packet's fields in order. Every method throws FileError EBADMSG beyond the end. */
export class PacketReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#take(1))
  }

  u32(): number {
    return this.#bytes.readUInt32BE(this.#take(4))
  }

  /** @throws FileError EINVAL beyond 2^53 - 1 */
  u64(): number {
    const value = this.#bytes.readBigUInt64BE(this.#take(8))
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new FileError('EINVAL')
    return Number(value)
  }

  /** A string field as a view. */
  bytes(): Buffer {
    const length = this.u32()
    const at = this.#take(length)
    return this.#bytes.subarray(at, at + length)
  }

  /** A string field, bytes as latin1. */
  text(): string {
    return this.bytes().toString('latin1')
  }

  attributes(): AttributeChange {
    const flags = this.u32()
    const change: AttributeChange = {}
    if (flags & ATTRIBUTE.SIZE) change.size = this.u64()
    if (flags & ATTRIBUTE.UIDGID) Object.assign(change, { uid: this.u32(), gid: this.u32() })
    if (flags & ATTRIBUTE.PERMISSIONS) change.mode = this.u32()
    if (flags & ATTRIBUTE.ACMODTIME) Object.assign(change, { atime: this.u32(), mtime: this.u32() })
    if (flags & ATTRIBUTE.EXTENDED) for (let left = this.u32(); left > 0; left--) void [this.bytes(), this.bytes()]
    return change
  }

  #take(length: number): number {
    const at = this.#at
    if (length > this.#bytes.length - at) throw new FileError('EBADMSG')
    this.#at += length
    return at
  }
}

/** A u32 field. */
export function u32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}

/** A u64 field. */
export function u64(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(8)
  bytes.writeBigUInt64BE(BigInt(Math.max(0, Math.trunc(value))))
  return bytes
}

/** A string field from bytes as latin1. */
export function text(value: string): Buffer {
  return Buffer.concat([u32(value.length), Buffer.from(value, 'latin1')])
}

/** A packet with its length in front. */
export function packet(type: number, ...fields: Buffer[]): Buffer {
  const body = Buffer.concat(fields)
  return Buffer.concat([u32(body.length + 1), Buffer.from([type]), body])
}

/** A status answer; `message` is a word for logs. */
export function statusPacket(id: number, code: number, message = ''): Buffer {
  return packet(PACKET.STATUS, u32(id), u32(code), text(message), text(''))
}

/** An empty DATA answer with room for `length` bytes at offset 13; shorten it by {@link finishData}. */
export function dataPacket(length: number): Buffer {
  return Buffer.allocUnsafeSlow(13 + length)
}

/** Completes {@link dataPacket} with the number of bytes that were read. */
export function finishData(bytes: Buffer, id: number, length: number): Buffer {
  bytes.writeUInt32BE(9 + length, 0)
  bytes.writeUInt8(PACKET.DATA, 4)
  bytes.writeUInt32BE(id, 5)
  bytes.writeUInt32BE(length, 9)
  return bytes.subarray(0, 13 + length)
}

const SYNTHETIC_MODE = 0o40555
const SETUID_SETGID = 0o6000

/**
 * Attributes of an object; of undefined, those of a directory that only leads to mounts.
 * Set-uid and set-gid of files are left out: Docker drops `nosuid` of a FUSE volume that is mounted `:ro`.
 */
export function attributes(stats: Stats | undefined): Buffer {
  const mode = !stats ? SYNTHETIC_MODE : stats.isFile() ? stats.mode & ~SETUID_SETGID : stats.mode
  const flags = ATTRIBUTE.SIZE | ATTRIBUTE.UIDGID | ATTRIBUTE.PERMISSIONS | ATTRIBUTE.ACMODTIME
  const seconds = (ms: number | undefined): Buffer => u32(Math.max(0, Math.floor((ms ?? 0) / 1000)))
  return Buffer.concat([
    u32(flags),
    u64(stats?.size ?? 0),
    u32(stats?.uid ?? 0),
    u32(stats?.gid ?? 0),
    u32(mode),
    seconds(stats?.atimeMs),
    seconds(stats?.mtimeMs),
  ])
}

/** A NAME answer; names are bytes as latin1. The long name, meant for people, is the name again. */
export function namePacket(id: number, entries: { attributes: Buffer; name: string }[]): Buffer {
  const fields = entries.flatMap((entry) => [text(entry.name), text(entry.name), entry.attributes])
  return packet(PACKET.NAME, u32(id), u32(entries.length), ...fields)
}
