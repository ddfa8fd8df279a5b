import fs from 'node:fs'
import { pathOf } from './descriptor.ts'
import { u64 } from './sftp-packet.ts'

const READ_ONLY = 1
const NO_SETUID = 2
const MAX_NAME_BYTES = 255

/**
 * The answer of statvfs@openssh.com (OpenSSH PROTOCOL §4.4): eleven u64.
 * @param fd undefined for a directory that only leads to mounts
 */
export async function statvfs(fd: number | undefined, readOnly: boolean): Promise<Buffer> {
  const flags = NO_SETUID | (readOnly ? READ_ONLY : 0)
  const s = fd === undefined ? undefined : await fs.promises.statfs(pathOf(fd))
  const blockSize = s?.bsize ?? 4096
  const numbers = [blockSize, blockSize, s?.blocks, s?.bfree, s?.bavail, s?.files, s?.ffree, s?.ffree, 0, flags, MAX_NAME_BYTES]
  return Buffer.concat(numbers.map((value) => u64(value ?? 0)))
}
