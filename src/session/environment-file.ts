import { renameSync, statSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { messageOf, TpxError } from '../base/error.ts'

/** A file that was asked for, checked before anything is touched. */
export type EnvironmentFile = { path: string; syntax: 'docker' | 'json' }

/** @throws TpxError USAGE when the file could not be written */
export function checkEnvironmentFile({ path }: EnvironmentFile): void {
  const directory = dirname(path)
  if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory())
    throw new TpxError('USAGE', `There is no directory "${directory}" for the environment file`)
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw new TpxError('USAGE', `The environment file "${path}" is a directory`)
}

/** Docker's env-file syntax knows no line breaks inside values: such names are left out. */
export function formatDockerEnvironment(environment: Record<string, string>): { skipped: string[]; text: string } {
  const skipped = Object.keys(environment).filter((name) => environment[name]?.includes('\n'))
  const lines = Object.entries(environment).filter(([name]) => !skipped.includes(name))
  return { skipped, text: lines.map(([name, value]) => `${name}=${value}\n`).join('') }
}

/** Writes the environment, readable for the user only and whole or not at all. @returns names that the syntax cannot hold */
export function writeEnvironmentFile({ path, syntax }: EnvironmentFile, environment: Record<string, string>): string[] {
  const { skipped, text } =
    syntax === 'json' ? { skipped: [], text: `${JSON.stringify(environment, undefined, 2)}\n` } : formatDockerEnvironment(environment)
  const fresh = `${path}.${process.pid}.tmp`
  try {
    writeFileSync(fresh, text, { flag: 'wx', mode: 0o600 })
    renameSync(fresh, path)
  } catch (cause) {
    throw new TpxError('USAGE', `Cannot write the environment file "${path}": ${messageOf(cause)}`, { cause })
  }
  return skipped
}
