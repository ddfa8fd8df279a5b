// What each SFTP packet does. Every path goes through the jail, every change asks `#writable` first.
import fs from 'node:fs'
import { promisify } from 'node:util'
import type { AgentMount } from '../wire/agent-config.ts'
import { systemCode } from '../base/error.ts'
import { entryPath, openFile, pathOf, statDescriptor } from './descriptor.ts'
import { applyAttributes } from './sftp-attributes.ts'
import { listDirectory, openDirectory } from './sftp-directory.ts'
import { FileError } from './file-error.ts'
import { SftpHandles } from './sftp-handles.ts'
import { type JailMount, readLink, SftpJail } from './sftp-jail.ts'
import * as p from './sftp-packet.ts'
import { statvfs } from './sftp-statvfs.ts'

const { OPEN_FLAG, PACKET, STATUS } = p
const { O_APPEND, O_CREAT, O_EXCL, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = fs.constants
const read = promisify(fs.read)
const write = promisify(fs.write)
const fsync = promisify(fs.fsync)

/** Bytes of one READ at most; sshfs asks for 64 KiB, and READs run side by side. */
export const MAX_READ_BYTES = 64 << 10

/** Extensions that sshfs uses, as announced in VERSION. */
const EXTENSIONS: Record<string, string> = { 'posix-rename@openssh.com': '1', 'statvfs@openssh.com': '2', 'fsync@openssh.com': '1' }

const STATUS_OF: Record<string, number> = {
  EACCES: STATUS.PERMISSION_DENIED,
  EBADMSG: STATUS.BAD_MESSAGE,
  EBUSY: STATUS.PERMISSION_DENIED,
  ENOENT: STATUS.NO_SUCH_FILE,
  ENOTDIR: STATUS.NO_SUCH_FILE,
  ENOTSUP: STATUS.OP_UNSUPPORTED,
  EPERM: STATUS.PERMISSION_DENIED,
  EROFS: STATUS.PERMISSION_DENIED,
}

type Fields = p.PacketReader
type Operation = (fields: Fields, id: number) => Promise<Buffer>

/** One client's view of the files, from INIT to the end. */
export class SftpSession {
  readonly #handles = new SftpHandles()
  readonly #jail: SftpJail
  readonly #operations: Record<number, Operation>
  readonly #readOnly: boolean

  /** @param options `readOnly`: nothing may be changed, whatever the mounts allow */
  constructor(options: { mounts: readonly AgentMount[]; readOnly: boolean }) {
    this.#jail = new SftpJail(options.mounts)
    this.#readOnly = options.readOnly
    this.#operations = this.#table()
  }

  /** Carries out one packet (without its length) and returns the answer. Never rejects. */
  async handle(bytes: Buffer): Promise<Buffer> {
    const type = bytes[0]
    if (type === PACKET.INIT) return versionPacket()
    if (type === undefined || bytes.length < 5) return p.statusPacket(0, STATUS.BAD_MESSAGE, 'EBADMSG')
    const id = bytes.readUInt32BE(1)
    try {
      const operation = this.#operations[type]
      if (!operation) throw new FileError('ENOTSUP')
      return await operation(new p.PacketReader(bytes.subarray(5)), id)
    } catch (error) {
      const code = systemCode(error) ?? 'EIO'
      return p.statusPacket(id, STATUS_OF[code] ?? STATUS.FAILURE, code)
    }
  }

  /** Closes everything; no packet may be under way. */
  close(): void {
    this.#handles.closeAll()
    this.#jail.close()
  }

  #table(): Record<number, Operation> {
    const done =
      (work: (fields: Fields) => Promise<void>): Operation =>
      async (fields, id) => {
        await work(fields)
        return p.statusPacket(id, STATUS.OK)
      }
    return {
      [PACKET.OPEN]: (fields, id) => this.#open(fields, id),
      [PACKET.CLOSE]: done(async (fields) => this.#handles.close(fields.text())),
      [PACKET.READ]: (fields, id) => this.#read(fields, id),
      [PACKET.WRITE]: done((fields) => this.#write(fields)),
      [PACKET.LSTAT]: (fields, id) => this.#stat(fields, id, false),
      [PACKET.STAT]: (fields, id) => this.#stat(fields, id, true),
      [PACKET.FSTAT]: (fields, id) => this.#fstat(fields.text(), id),
      [PACKET.SETSTAT]: done((fields) => this.#setstat(fields)),
      [PACKET.FSETSTAT]: done((fields) => this.#fsetstat(fields)),
      [PACKET.OPENDIR]: (fields, id) => this.#opendir(fields, id),
      [PACKET.READDIR]: async (fields, id) => listDirectory(this.#jail, this.#handles.directory(fields.text()), id),
      [PACKET.REMOVE]: done(async (fields) => this.#change(fields.text(), (path) => fs.promises.unlink(path))),
      [PACKET.RMDIR]: done(async (fields) => this.#change(fields.text(), (path) => fs.promises.rmdir(path))),
      [PACKET.MKDIR]: done((fields) => this.#mkdir(fields)),
      [PACKET.REALPATH]: async (fields, id) => p.namePacket(id, [{ attributes: p.u32(0), name: normal(fields.text()) }]),
      [PACKET.RENAME]: done((fields) => this.#rename(fields, false)),
      [PACKET.READLINK]: (fields, id) => this.#readlink(fields, id),
      [PACKET.SYMLINK]: done((fields) => this.#symlink(fields)),
      [PACKET.EXTENDED]: (fields, id) => this.#extended(fields, id),
    }
  }

  /** @throws FileError EROFS */
  #writable(mount: JailMount | undefined): void {
    if (this.#readOnly || !mount || mount.readOnly) throw new FileError('EROFS')
  }

  async #change(path: string, work: (entry: Buffer) => Promise<unknown>): Promise<void> {
    using place = await this.#jail.place(path)
    this.#writable(place.mount)
    await work(entryPath(place.fd, place.name))
  }

  async #open(fields: Fields, id: number): Promise<Buffer> {
    const path = fields.text()
    const flags = fields.u32()
    const { mode = 0o644 } = fields.attributes()
    this.#handles.reserve()
    const exclusive = (flags & OPEN_FLAG.CREAT) !== 0 && (flags & OPEN_FLAG.EXCL) !== 0
    const file = (exclusive ? undefined : await this.#openExisting(path, flags)) ?? (await this.#create(path, flags, mode))
    return p.packet(PACKET.HANDLE, p.u32(id), p.text(this.#handles.add({ kind: 'file', ...file })))
  }

  /** Undefined: there is none, but it may be created. */
  async #openExisting(path: string, flags: number): Promise<{ fd: number; mount: JailMount | undefined } | undefined> {
    try {
      using found = await this.#jail.find(path, true)
      // A device or a pipe of a volume is not data, and opening one can have effects or wait for ever.
      if (found.fd === undefined || !found.stats?.isFile()) throw new FileError('EACCES')
      if (flags & ~OPEN_FLAG.READ) this.#writable(found.mount)
      return { fd: await openFile(pathOf(found.fd), access(flags) | (flags & OPEN_FLAG.TRUNC ? O_TRUNC : 0)), mount: found.mount }
    } catch (error) {
      if (systemCode(error) === 'ENOENT' && flags & OPEN_FLAG.CREAT) return undefined
      throw error
    }
  }

  async #create(path: string, flags: number, mode: number): Promise<{ fd: number; mount: JailMount }> {
    using place = await this.#jail.place(path)
    this.#writable(place.mount)
    const create = O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | (flags & OPEN_FLAG.EXCL ? O_EXCL : 0)
    const fd = await openFile(entryPath(place.fd, place.name), access(flags) | create, mode & 0o777)
    // Somebody else may have put a pipe there in between.
    if ((await statDescriptor(fd)).isFile()) return { fd, mount: place.mount }
    fs.close(fd, () => {})
    throw new FileError('EACCES')
  }

  async #read(fields: Fields, id: number): Promise<Buffer> {
    const { fd } = this.#handles.file(fields.text())
    const offset = fields.u64()
    const length = Math.min(fields.u32(), MAX_READ_BYTES)
    const bytes = p.dataPacket(length)
    const { bytesRead } = await read(fd, bytes, 13, length, offset)
    return bytesRead === 0 && length > 0 ? p.statusPacket(id, STATUS.EOF) : p.finishData(bytes, id, bytesRead)
  }

  async #write(fields: Fields): Promise<void> {
    const { fd, mount } = this.#handles.file(fields.text())
    this.#writable(mount)
    const offset = fields.u64()
    const bytes = fields.bytes()
    for (let at = 0; at < bytes.length;) at += (await write(fd, bytes, at, bytes.length - at, offset + at)).bytesWritten
  }

  async #stat(fields: Fields, id: number, follow: boolean): Promise<Buffer> {
    using found = await this.#jail.find(fields.text(), follow)
    return p.packet(PACKET.ATTRS, p.u32(id), p.attributes(found.stats))
  }

  async #fstat(handle: string, id: number): Promise<Buffer> {
    const { fd } = this.#handles.any(handle)
    return p.packet(PACKET.ATTRS, p.u32(id), p.attributes(fd === undefined ? undefined : await statDescriptor(fd)))
  }

  async #setstat(fields: Fields): Promise<void> {
    using found = await this.#jail.find(fields.text(), true)
    this.#writable(found.mount)
    if (found.fd === undefined || !(found.stats?.isFile() || found.stats?.isDirectory())) throw new FileError('EACCES')
    await applyAttributes(found.fd, fields.attributes())
  }

  async #fsetstat(fields: Fields): Promise<void> {
    const { fd, mount } = this.#handles.file(fields.text())
    this.#writable(mount)
    await applyAttributes(fd, fields.attributes())
  }

  async #opendir(fields: Fields, id: number): Promise<Buffer> {
    this.#handles.reserve()
    using found = await this.#jail.find(fields.text(), true)
    return p.packet(PACKET.HANDLE, p.u32(id), p.text(this.#handles.add(await openDirectory(found))))
  }

  async #mkdir(fields: Fields): Promise<void> {
    const path = fields.text()
    const { mode = 0o755 } = fields.attributes()
    await this.#change(path, (entry) => fs.promises.mkdir(entry, { mode: mode & 0o777 }))
  }

  async #rename(fields: Fields, replace: boolean): Promise<void> {
    using from = await this.#jail.place(fields.text())
    using to = await this.#jail.place(fields.text())
    this.#writable(from.mount)
    this.#writable(to.mount)
    const target = entryPath(to.fd, to.name)
    // Version 3 (§6.5) must not replace; OpenSSH's extension must.
    if (!replace && (await fs.promises.lstat(target).catch(() => undefined))) throw new FileError('EEXIST')
    await fs.promises.rename(entryPath(from.fd, from.name), target)
  }

  async #readlink(fields: Fields, id: number): Promise<Buffer> {
    using place = await this.#jail.place(fields.text())
    return p.namePacket(id, [{ attributes: p.u32(0), name: await readLink(place.fd, place.name) }])
  }

  /** OpenSSH and every client after it send the target first, other than §6.10 says. */
  async #symlink(fields: Fields): Promise<void> {
    const target = Buffer.from(fields.bytes())
    if (target.includes(0)) throw new FileError('EINVAL')
    await this.#change(fields.text(), (entry) => fs.promises.symlink(target, entry))
  }

  async #extended(fields: Fields, id: number): Promise<Buffer> {
    const name = fields.text()
    if (name === 'statvfs@openssh.com') {
      using found = await this.#jail.find(fields.text(), true)
      return p.packet(PACKET.EXTENDED_REPLY, p.u32(id), await statvfs(found.fd, this.#readOnly || found.mount?.readOnly !== false))
    }

    if (name === 'posix-rename@openssh.com') await this.#rename(fields, true)
    else if (name === 'fsync@openssh.com') await fsync(this.#handles.file(fields.text()).fd)
    else throw new FileError('ENOTSUP')
    return p.statusPacket(id, STATUS.OK)
  }
}

function access(flags: number): number {
  const writes = (flags & (OPEN_FLAG.WRITE | OPEN_FLAG.APPEND)) !== 0
  const mode = !writes ? O_RDONLY : flags & OPEN_FLAG.READ ? O_RDWR : O_WRONLY
  return mode | (flags & OPEN_FLAG.APPEND ? O_APPEND : 0)
}

/** Lexically, without a look at the files: clients use it to make the start directory absolute. */
function normal(path: string): string {
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '' && part !== '.') parts.push(part)
  }
  return `/${parts.join('/')}`
}

function versionPacket(): Buffer {
  const extensions = Object.entries(EXTENSIONS).flatMap(([name, version]) => [p.text(name), p.text(version)])
  return p.packet(PACKET.VERSION, p.u32(3), ...extensions)
}
