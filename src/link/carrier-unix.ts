import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Socket } from 'node:net'
import { LINK_SOCKET } from '../wire/carrier.ts'
import { bindUnixSocket, type BoundSocket } from './unix-socket.ts'

/**
 * The unix carrier: the link listens in a directory that is bind-mounted into the tunnel, and the tunnel dials.
 * Directory and socket are open to all, because root in the tunnel has no DAC_OVERRIDE; on the host the 0700 directory
 * above keeps everybody else out.
 * @param runtimeDir directory of the connection, 0700
 */
export function openUnixCarrier(runtimeDir: string, route: (socket: Socket) => void): Promise<BoundSocket> {
  const dir = join(runtimeDir, 'carrier')
  mkdirSync(dir, { recursive: true })
  chmodSync(dir, 0o777)
  return bindUnixSocket(join(dir, LINK_SOCKET), 0o666, route)
}
