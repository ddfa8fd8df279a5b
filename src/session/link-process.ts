import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, openSync, readFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fromRecord, TpxError } from '../base/error.ts'
import { type ConnectionSettings, holderName } from '../container/holder-container.ts'
import { tunnelName } from '../container/tunnel-container.ts'
import { ControlClient } from '../wire/control-channel.ts'
import { runtimeDir } from './runtime-dir.ts'

/** What a link knows of the cluster as soon as it is ready. */
export type LinkFacts = { clusterDomain?: string }

/** How a link is started. */
export type LinkStart = {
  carrier: 'auto' | 'exec' | 'unix'
  /** In which credential plugins and proxies are looked for. */
  environment: NodeJS.ProcessEnv
  onProgress?: (text: string) => void
  onReady?: (facts: LinkFacts) => void
  /** Root of the installed package, where dist/ is. */
  root: string
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
 * Starts the link of a connection in the background, waits until it has found the cluster good, and opens its control stream.
 * @throws the TpxError that the link found; LINK_FAILED when it ends without a word
 */
export async function startLink(settings: Omit<ConnectionSettings, 'carrier'>, start: LinkStart): Promise<ControlClient> {
  const log = linkLogPath(settings.name)
  mkdirSync(join(log, '..'), { mode: 0o700, recursive: true })
  const args = [
    '--max-semi-space-size=16',
    '--external-memory-accounted-in-global-limit',
    '--heap-growing-percent=100',
    join(start.root, 'dist', 'programs', 'link.cjs'),
    ...linkWords(settings, start.carrier),
  ]
  const child = spawn(...supervised(process.execPath, args), {
    cwd: '/',
    detached: true,
    // By the environment, because it may be several files.
    env: { ...start.environment, KUBECONFIG: settings.kubeconfig },
    stdio: ['ignore', 'pipe', openSync(log, 'a', 0o600)],
  })
  const answer = await readAnswer(child, start.onProgress)
  child.unref()
  if (answer === undefined) throw new TpxError('LINK_FAILED', `The link did not start: ${lastLine(log)}`, { hint: `Its log is "${log}"` })
  if (answer.error) {
    const error = fromRecord(answer.error)
    // A dead link's supervisor was quicker.
    const other = error.code === 'LINK_FAILED' ? await openControl(settings.name) : undefined
    if (other) return other
    throw error
  }
  start.onReady?.(answer)
  const control = await openControl(settings.name)
  if (!control) throw new TpxError('LINK_FAILED', 'The link ended right after its start', { hint: `Its log is "${log}"` })
  return control
}

// Starts a link again that was killed or crashed (status above 128, or 70), so that a connection outlives it although nobody types
// a command; waits longer each time that it lives for less than a minute. What the link ended itself, and a first start that failed,
// is the end. A shell, because it costs 1 MB and dies of nothing.
const SUPERVISOR = `
"$@"; status=$?; wait=1
exec >/dev/null
while [ $status -gt 128 ] || [ $status -eq 70 ]; do
  sleep $wait
  began=$(date +%s)
  "$@" --again; status=$?
  [ $status -ne 1 ] || status=70
  if [ $(($(date +%s) - began)) -gt 60 ]; then wait=1; elif [ $wait -lt 10 ]; then wait=$((wait + 1)); fi
done
exit $status`

function supervised(file: string, args: string[]): [file: string, args: string[]] {
  return process.platform === 'win32' ? [file, args] : ['/bin/sh', ['-c', SUPERVISOR, 'tpx-link', file, ...args]]
}

/** The link's flags: everybody on this machine may read them. */
function linkWords(settings: Omit<ConnectionSettings, 'carrier'>, carrier: LinkStart['carrier']): string[] {
  const { context, impersonate, linkLogLevel, managerNamespace, name, namespace } = settings
  const flags: [name: string, value: string | undefined][] = [
    ['as', impersonate.as],
    ...(impersonate.asGroups ?? []).map((group): [string, string] => ['as-group', group]),
    ['as-uid', impersonate.asUid],
    ['carrier', carrier],
    ['connection', name],
    ['context', context],
    ['holder-container', holderName(name)],
    ['log-level', linkLogLevel],
    ['manager-namespace', managerNamespace],
    ['namespace', namespace],
    ['runtime-dir', runtimeDir(name)],
    ['tunnel-container', tunnelName(name)],
  ]
  // In one word, because a value may begin with a dash.
  return flags.flatMap(([flag, value]) => (value === undefined ? [] : [`--${flag}=${value}`]))
}

type Answer = LinkFacts & { error?: unknown; progress?: string; ready?: true }

/** The line that ends the start; lines of progress come before it. */
async function readAnswer({ stdout }: ChildProcess, onProgress: (text: string) => void = () => {}): Promise<Answer | undefined> {
  if (!stdout) return undefined
  try {
    for await (const line of createInterface({ input: stdout })) {
      const answer = JSON.parse(line) as Answer
      if (answer.progress === undefined) return answer
      onProgress(answer.progress)
    }
    return undefined
  } finally {
    stdout.destroy()
  }
}

function lastLine(path: string): string {
  return readFileSync(path, 'utf8').trimEnd().split('\n').at(-1) ?? ''
}
