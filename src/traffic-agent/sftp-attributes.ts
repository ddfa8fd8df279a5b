import fs from 'node:fs'
import { closeDescriptor, openFile, pathOf } from './descriptor.ts'
import type { AttributeChange } from './sftp-packet.ts'

/**
 * Changes an object that is held by descriptor: size, then mode, owner and times, as SETSTAT asks.
 * @throws a system error of the first that fails
 */
export async function applyAttributes(fd: number, change: AttributeChange): Promise<void> {
  const path = pathOf(fd)
  if (change.size !== undefined) await truncate(path, change.size)
  // Without set-uid and set-gid: a developer must not plant a program that runs as somebody else in the Pod.
  if (change.mode !== undefined) await fs.promises.chmod(path, change.mode & 0o1777)
  if (change.uid !== undefined && change.gid !== undefined) await fs.promises.chown(path, change.uid, change.gid)
  if (change.atime !== undefined && change.mtime !== undefined) await fs.promises.utimes(path, change.atime, change.mtime)
}

async function truncate(path: string, size: number): Promise<void> {
  const fd = await openFile(path, fs.constants.O_WRONLY)
  try {
    await new Promise<void>((resolve, reject) => {
      fs.ftruncate(fd, size, (error) => (error ? reject(error) : resolve()))
    })
  } finally {
    closeDescriptor(fd)
  }
}
