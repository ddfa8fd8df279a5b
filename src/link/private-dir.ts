import { chmodSync, lstatSync, mkdirSync, realpathSync } from 'node:fs'
import { dirname } from 'node:path'
import { messageOf, TpxError } from '../base/error.ts'

const STICKY = 0o1000
const WRITABLE_BY_OTHERS = 0o022

/**
 * Makes a directory that nobody else can enter, and checks that nobody else can put another in its place: /tmp, where it
 * is without XDG_RUNTIME_DIR, is everybody's.
 * @throws TpxError LINK_FAILED
 */
export function makePrivateDir(dir: string): void {
  try {
    mkdirSync(dir, { mode: 0o700, recursive: true })
    chmodSync(dir, 0o700)
  } catch (cause) {
    throw new TpxError('LINK_FAILED', `Cannot make the directory "${dir}": ${messageOf(cause)}`, { cause, hint: 'Set XDG_RUNTIME_DIR' })
  }

  // The name as given and where its links lead (/tmp is one on macOS).
  const untrusted = [...ancestors(dir), ...ancestors(realpathSync(dir))].find((path) => !isTrusted(path))
  if (untrusted === undefined) return
  throw new TpxError('LINK_FAILED', `Directory "${untrusted}" belongs to somebody else, or others may write to it`, {
    hint: 'Set XDG_RUNTIME_DIR',
  })
}

/** The path and all directories above it. */
function ancestors(path: string): string[] {
  const above = dirname(path)
  return above === path ? [path] : [path, ...ancestors(above)]
}

/** Ours or root's, and where others may write they may at least not rename what is ours. */
function isTrusted(path: string): boolean {
  const stats = lstatSync(path)
  if (stats.uid !== 0 && stats.uid !== process.getuid?.()) return false
  if (stats.isSymbolicLink() || (stats.mode & WRITABLE_BY_OTHERS) === 0 || (stats.mode & STICKY) !== 0) return true
  // A user-private group (umask 002) is nobody else: home directories often are 0775.
  return (stats.mode & 0o002) === 0 && stats.gid === process.getgid?.()
}
