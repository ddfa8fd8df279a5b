import fs, { type Stats } from 'node:fs'
import { entryPath, O_PATH, openFile, pathOf, statDescriptor } from './descriptor.ts'
import { FileError } from './file-error.ts'
import type { OpenDirectory } from './sftp-handles.ts'
import type { Found, SftpJail } from './sftp-jail.ts'
import { attributes, namePacket, STATUS, statusPacket } from './sftp-packet.ts'

/** Names in one answer: 100 of the longest stay below 64 KiB. */
const BATCH = 100

/** Opens what was found for listing. @throws FileError ENOTDIR */
export async function openDirectory(found: Found): Promise<OpenDirectory> {
  if (found.stats && !found.stats.isDirectory()) throw new FileError('ENOTDIR')
  const ahead = ['.', '..', ...(found.node?.children.keys() ?? [])]
  if (found.fd === undefined) return { ahead, fd: undefined, kind: 'directory', listing: undefined, node: found.node }
  const listing = await fs.promises.opendir(pathOf(found.fd), { bufferSize: BATCH, encoding: 'latin1' as BufferEncoding })
  // The handle outlives what was found, so it holds a descriptor of its own.
  const fd = await openFile(pathOf(found.fd), O_PATH | fs.constants.O_DIRECTORY)
  return { ahead, fd, kind: 'directory', listing, node: found.node }
}

/** Answers one READDIR: the next names with their attributes, or EOF. */
export async function listDirectory(jail: SftpJail, directory: OpenDirectory, id: number): Promise<Buffer> {
  for (;;) {
    const names = await nextNames(directory)
    if (names.length === 0) return statusPacket(id, STATUS.EOF)
    const entries = await Promise.all(names.map(async (name) => entryOf(jail, directory, name)))
    // What was removed in between is left out; an answer without any name would mean an error.
    const present = entries.filter((entry) => entry !== undefined)
    if (present.length > 0) return namePacket(id, present)
  }
}

async function nextNames({ ahead, listing, node }: OpenDirectory): Promise<string[]> {
  if (ahead.length > 0) return ahead.splice(0, BATCH)
  const names: string[] = []
  while (listing && names.length < BATCH) {
    const entry = await listing.read()
    if (!entry) break
    // Mounts were listed first, with their own attributes.
    if (!node?.children.has(entry.name)) names.push(entry.name)
  }
  return names
}

async function entryOf(jail: SftpJail, directory: OpenDirectory, name: string): Promise<{ attributes: Buffer; name: string } | undefined> {
  try {
    return { attributes: attributes(await statEntry(jail, directory, name)), name }
  } catch {
    return undefined
  }
}

async function statEntry(jail: SftpJail, { fd, node }: OpenDirectory, name: string): Promise<Stats | undefined> {
  if (name === '.' || name === '..') return fd === undefined ? undefined : statDescriptor(fd)
  const child = node?.children.get(name)
  if (child) return jail.statNode(child)
  if (fd === undefined) throw new FileError('ENOENT')
  return fs.promises.lstat(entryPath(fd, name))
}
