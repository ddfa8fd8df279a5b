import type fs from 'node:fs'
import { closeDescriptor } from './descriptor.ts'
import { FileError } from './file-error.ts'
import type { JailMount, JailNode } from './sftp-jail.ts'

/** How many files and directories one session may hold open; a runaway client must not use up the agent's descriptors. */
export const MAX_HANDLES = 512

/** An open regular file. */
export type OpenFile = { fd: number; kind: 'file'; mount: JailMount | undefined }
/** An open directory: `fd` and `listing` where it really exists, `ahead` holds the names that come before its own. */
export type OpenDirectory = {
  ahead: string[]
  fd: number | undefined
  kind: 'directory'
  listing: fs.Dir | undefined
  node: JailNode | undefined
}

/** The handles of one session. */
export class SftpHandles {
  readonly #open = new Map<string, OpenDirectory | OpenFile>()
  #next = 1

  /** @throws FileError EMFILE when no more may be opened; ask before opening */
  reserve(): void {
    if (this.#open.size >= MAX_HANDLES) throw new FileError('EMFILE')
  }

  /** Returns the handle's four bytes as latin1. */
  add(entry: OpenDirectory | OpenFile): string {
    const bytes = Buffer.allocUnsafe(4)
    bytes.writeUInt32BE(this.#next++ >>> 0)
    const handle = bytes.toString('latin1')
    this.#open.set(handle, entry)
    return handle
  }

  /** @throws FileError EBADF */
  any(handle: string): OpenDirectory | OpenFile {
    const entry = this.#open.get(handle)
    if (!entry) throw new FileError('EBADF')
    return entry
  }

  /** @throws FileError EBADF */
  file(handle: string): OpenFile {
    const entry = this.any(handle)
    if (entry.kind !== 'file') throw new FileError('EBADF')
    return entry
  }

  /** @throws FileError EBADF */
  directory(handle: string): OpenDirectory {
    const entry = this.any(handle)
    if (entry.kind !== 'directory') throw new FileError('EBADF')
    return entry
  }

  /** Closes one; no operation on it may be running. @throws FileError EBADF */
  close(handle: string): void {
    const entry = this.any(handle)
    this.#open.delete(handle)
    if (entry.fd !== undefined) closeDescriptor(entry.fd)
    if (entry.kind === 'directory') entry.listing?.close().catch(() => {})
  }

  closeAll(): void {
    for (const handle of this.#open.keys()) this.close(handle)
  }
}
