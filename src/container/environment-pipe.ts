import { execFileSync } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A named pipe that holds a text for one reader: a path for programs that insist on a file, with nothing on disk. */
export type EnvironmentPipe = Disposable & { path: string }

/** Makes the pipe; a child's inherited descriptor would not do, since Node's are sockets, which cannot be opened by path. */
export function environmentPipe(text: string): EnvironmentPipe {
  const directory = mkdtempSync(join(tmpdir(), 'tpx-')) // 0700
  const path = join(directory, 'env')
  execFileSync('mkfifo', ['-m', '600', path])
  const write = async (): Promise<void> => {
    await using file = await open(path, 'w') // waits for the reader
    await file.writeFile(text)
  }
  write().catch(() => {})
  return {
    path,
    [Symbol.dispose]() {
      // A reader that never came would leave the writer waiting: be the reader.
      closeSync(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK))
      rmSync(directory, { force: true, recursive: true })
    },
  }
}
