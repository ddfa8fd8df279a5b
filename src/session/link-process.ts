import { spawn } from 'node:child_process'
import { mkdirSync, openSync, readFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fromRecord, TpxError } from '../base/error.ts'
import { ControlClient } from '../wire/control-channel.ts'
import { runtimeDir } from './runtime-dir.ts'

/** What a link is started with. */
export type LinkOptions = {
  carrier: 'auto' | 'exec' | 'unix'
  connection: string
  context: string
  holderName: string
  /** Absolute, because the link runs in "/"; several are joined as in $KUBECONFIG. Null: the default file. */
  kubeconfig: string | null
  logLevel: string
  managerNamespace: string
  namespace: string
  /** Root of the installed package, where dist/ is. */
  root: string
  tunnelName: string
}

/** Connects to the control socket of a connection's link; undefined where none is alive. */
export function openControl(connection: string): Promise<ControlClient | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection(join(runtimeDir(connection), 'control.sock'))
    socket.once('connect', () => resolve(new ControlClient(socket)))
    socket.once('error', () => resolve(undefined))
  })
}

/** Where a link writes its log. */
export function linkLogPath(connection: string): string {
  return join(process.env['XDG_STATE_HOME'] ?? join(homedir(), '.local', 'state'), 'tpx', `${connection}.link.log`)
}

/**
 * Starts the link in the background and waits for its ready line, i.e. until the cluster was found good.
 * @throws the TpxError that the link found; LINK_FAILED when it ends without a word
 */
export async function spawnLink(options: LinkOptions): Promise<void> {
  const log = linkLogPath(options.connection)
  mkdirSync(join(log, '..'), { mode: 0o700, recursive: true })
  const flags: Record<string, string | null> = {
    carrier: options.carrier,
    connection: options.connection,
    context: options.context,
    'holder-container': options.holderName,
    'log-level': options.logLevel,
    'manager-namespace': options.managerNamespace,
    namespace: options.namespace,
    'runtime-dir': runtimeDir(options.connection),
    'tunnel-container': options.tunnelName,
  }
  const words = Object.entries(flags).flatMap(([name, value]) => (value === null ? [] : [`--${name}`, value]))
  const args = ['--max-semi-space-size=16', join(options.root, 'dist', 'programs', 'link.cjs'), ...words]
  const child = spawn(process.execPath, args, {
    cwd: '/',
    detached: true,
    env: { ...process.env, ...(options.kubeconfig === null ? {} : { KUBECONFIG: options.kubeconfig }) },
    stdio: ['ignore', 'pipe', openSync(log, 'a', 0o600)],
  })
  const { stdout } = child
  const line = await new Promise<string | undefined>((resolve) => {
    child.once('error', () => resolve(undefined))
    if (!stdout) return void resolve(undefined)
    createInterface({ input: stdout })
      .once('line', resolve)
      .once('close', () => resolve(undefined))
  })
  stdout?.destroy()
  child.unref()
  if (line === undefined) throw new TpxError('LINK_FAILED', `The link did not start: ${lastLine(log)}`, { hint: `Its log is "${log}"` })
  const answer = JSON.parse(line) as { error: unknown } | { ready: true }
  if ('error' in answer) throw fromRecord(answer.error)
}

function lastLine(path: string): string {
  return readFileSync(path, 'utf8').trimEnd().split('\n').at(-1) ?? ''
}
