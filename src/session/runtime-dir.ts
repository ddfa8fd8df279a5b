import { lstatSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { TpxError } from '../base/error.ts'

/** Where the sockets of all connections lie: on the host's tmpfs where there is one, only for this user. */
export function runtimeRoot(): string {
  const base = process.env['XDG_RUNTIME_DIR'] ?? `/tmp/tpx-${process.getuid?.() ?? 0}`
  const root = join(base, 'tpx')
  mkdirSync(root, { mode: 0o700, recursive: true })
  const { uid } = lstatSync(base)
  // In a shared /tmp somebody else could have made the directory first.
  if (uid !== process.getuid?.())
    throw new TpxError('LINK_FAILED', `The runtime directory "${base}" belongs to somebody else`, {
      hint: 'Set XDG_RUNTIME_DIR to a directory of your own',
    })
  return root
}

/** The directory of one connection; the link makes it. */
export function runtimeDir(connection: string): string {
  return join(runtimeRoot(), connection)
}

/** Names of connections that have a directory; their links may be dead. */
export function runtimeConnections(): string[] {
  return readdirSync(runtimeRoot())
}
