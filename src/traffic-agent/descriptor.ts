// Files by descriptor. Linux has openat(2) and its kin, Node has not: `/proc/self/fd/N/NAME` names the same thing, whatever
// was renamed in between, and with O_NOFOLLOW the kernel follows no link after N.
import fs from 'node:fs'
import { promisify } from 'node:util'
import { FileError } from './file-error.ts'

/** open(2): no permission on the file itself is needed and opening has no side effect, not even on devices. Node does not export it. */
export const O_PATH = 0o10000000

/** Opens a path of bytes. */
export const openFile: (path: Buffer | string, flags: number, mode?: number) => Promise<number> = promisify(fs.open)
/** fstat(2) */
export const statDescriptor: (fd: number) => Promise<fs.Stats> = promisify(fs.fstat) as (fd: number) => Promise<fs.Stats>

/** Closes without waiting; nobody could do anything about a failure. */
export function closeDescriptor(fd: number): void {
  fs.close(fd, () => {})
}

/** The object behind a descriptor, as a path: opening it again asks for other rights to the very same inode. */
export function pathOf(fd: number): string {
  return `/proc/self/fd/${fd}`
}

/**
 * One name below a directory's descriptor.
 * @param name bytes as latin1; a single component
 * @throws FileError EINVAL when it is no single component
 */
export function entryPath(fd: number, name: string): Buffer {
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) throw new FileError('EINVAL')
  return Buffer.from(`/proc/self/fd/${fd}/${name}`, 'latin1')
}
