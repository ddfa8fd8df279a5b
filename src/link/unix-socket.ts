import { chmodSync, rmSync, statSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { systemCode, TpxError } from '../base/error.ts'

/** sockaddr_un.sun_path on Linux is 108 bytes with the final NUL, 104 on macOS. */
const LONGEST_PATH = 103

/** A listening unix socket with its file. */
export type BoundSocket = { close(): void; isOurs(): boolean; server: Server }

/**
 * Listens on a socket file; one that a dead process left behind is replaced.
 * @param mode permissions of the file
 * @throws TpxError LINK_FAILED when a live process listens on it, or it cannot be made
 */
export async function bindUnixSocket(path: string, mode: number, onConnection: (socket: Socket) => void): Promise<BoundSocket> {
  if (Buffer.byteLength(path) > LONGEST_PATH) {
    throw new TpxError('LINK_FAILED', `Socket path is longer than ${LONGEST_PATH} bytes: "${path}"`, {
      hint: 'Set XDG_RUNTIME_DIR to a shorter directory',
    })
  }

  const server = createServer({ allowHalfOpen: true, noDelay: true }, onConnection)
  try {
    await listen(server, path)
  } catch (cause) {
    if (systemCode(cause) !== 'EADDRINUSE') throw new TpxError('LINK_FAILED', `Cannot listen on "${path}": ${systemCode(cause)}`, { cause })
    if (await isAlive(path)) throw alreadyRunning(path)
    rmSync(path, { force: true })
    await listen(server, path)
  }

  chmodSync(path, mode)
  const { ino } = statSync(path)
  const isOurs = (): boolean => statSync(path, { throwIfNoEntry: false })?.ino === ino
  // Closing removes the file, so not when another process has put its own in the place.
  const close = (): void => {
    if (isOurs()) server.close()
  }
  return { close, isOurs, server }
}

/** @see alreadyRunning */
export class AlreadyRunning extends TpxError {}

/** The error of a second link for the same connection. */
export function alreadyRunning(path: string): AlreadyRunning {
  return new AlreadyRunning('LINK_FAILED', `Another link is already running on "${path}"`)
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
