import { type ChildProcess, spawn } from 'node:child_process'
import { execa, type Options, type Result } from 'execa'

const root = new URL('../..', import.meta.url).pathname

/** What a finished command left. */
export type Ended = { json: unknown; status: number; stderr: string; stdout: string }

/** Runs the built CLI to its end; never rejects for an exit status. */
export async function tpx(words: string[], options: { env?: Record<string, string>; timeoutMs?: number } = {}): Promise<Ended> {
  const result = await execa(process.execPath, ['--', `${root}bin/run.js`, ...words], {
    env: options.env ?? {},
    reject: false,
    stdin: 'ignore',
    timeout: options.timeoutMs ?? 120_000,
  })
  return { json: parse(result.stdout), status: result.exitCode ?? -1, stderr: result.stderr, stdout: result.stdout }
}

/** As {@link tpx}, but a failure is a failure of the test, with what the terminal said. */
export async function tpxOk(words: string[], options: { env?: Record<string, string>; timeoutMs?: number } = {}): Promise<Ended> {
  const ended = await tpx(words, options)
  if (ended.status !== 0) throw new Error(`tpx ${words.join(' ')} ended with ${ended.status}\n${ended.stdout}\n${ended.stderr}`)
  return ended
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** A command that goes on while the test looks. */
export type Running = AsyncDisposable & { child: ChildProcess; ended: Promise<number>; output: () => string }

/** Starts the built CLI; it is ended with SIGTERM at the end of the scope, unless it has ended. */
export function startTpx(words: string[], env: Record<string, string> = {}): Running {
  const child = spawn(process.execPath, ['--', `${root}bin/run.js`, ...words], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const ended = new Promise<number>((resolve) => child.once('close', (code, signal) => resolve(code ?? (signal === 'SIGKILL' ? 137 : 1))))
  return {
    child,
    ended,
    output: () => output,
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
      await ended
    },
  }
}

/** Runs a program to its end; rejects unless it ends well. */
export async function run(file: string, words: string[], options: Options = {}): Promise<string> {
  const result = (await execa(file, words, { stdin: 'ignore', timeout: 120_000, ...options })) as Result
  return String(result.stdout ?? '')
}

/** kubectl of the test cluster. */
export function kubectl(...words: string[]): Promise<string> {
  return run(`${root}test/cluster/cluster`, ['kubectl', ...words])
}

/** A request from inside the cluster, by the program of the `caller` Pod. */
export function fromCluster(...words: string[]): Promise<string> {
  return kubectl('exec', 'deploy/caller', '--', '/sample', ...words)
}

/** The docker client. */
export function docker(...words: string[]): Promise<string> {
  return run('docker', words)
}

/** Asks again until the answer fits; the last failure is thrown. */
export async function eventually<T>(what: string, probe: () => Promise<T | undefined | false>, limitMs: number): Promise<T> {
  const began = performance.now()
  let last: unknown
  while (performance.now() - began < limitMs) {
    try {
      const answer = await probe()
      if (answer !== undefined && answer !== false) return answer
    } catch (error) {
      last = error
    }
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error(`Waited ${limitMs} ms for ${what}`, { cause: last })
}
