// Commands that end when the benchmark is interrupted, so that what was made is taken back by the way out.
import { once } from 'node:events'
import { spawn } from 'node:child_process'
import { execa, type Options, type Result } from 'execa'

export const root = new URL('..', import.meta.url).pathname

const stop = new AbortController()

/** Aborts at the first Ctrl-C; every command ends then, and the way out takes back what was made. */
export const interrupted: AbortSignal = stop.signal

/** Ends everything that runs. */
export function interrupt(): void {
  stop.abort(new Error('interrupted'))
}

/** What a command left. */
export type Ended = { ms: number; output: string; status: number }

/** How a command runs. `always`: it runs although the benchmark was interrupted (to take something back). */
export type RunOptions = { always?: boolean; env?: Record<string, string>; input?: string; seconds?: number; statuses?: number[] }

/** Runs a command to its end; rejects unless its exit status is 0 or one of `statuses`. */
export async function run(file: string, words: string[], options: RunOptions = {}): Promise<Ended> {
  const { always = false, env = {}, input, seconds = 60, statuses = [0] } = options
  if (!always) interrupted.throwIfAborted()
  const began = performance.now()
  const result = (await execa(file, words, {
    ...(always ? {} : { cancelSignal: interrupted }),
    env,
    input: input ?? '',
    reject: false,
    timeout: seconds * 1000,
  } satisfies Options)) as Result
  const ms = performance.now() - began
  const status = result.exitCode ?? -1
  const output = String(result.stdout ?? '')
  if (!always) interrupted.throwIfAborted()
  if (!statuses.includes(status))
    throw new Error(
      `${[file, ...words].join(' ').slice(0, 160)} ended with ${status}: ${String(result.stderr ?? '').slice(-400)} ${output.slice(-200)}`,
    )
  return { ms, output, status }
}

/** The built CLI of this checkout. */
export function tpx(words: string[], options: RunOptions = {}): Promise<Ended> {
  return run(process.execPath, ['--', `${root}bin/run.js`, ...words], options)
}

/** The docker client; answers its stdout. */
export async function docker(words: string[], options: RunOptions = {}): Promise<string> {
  return (await run('docker', words, options)).output
}

let kubectlPath: string | undefined

/** Path of the test cluster's kubectl. */
export async function kubectlBinary(): Promise<string> {
  kubectlPath ??= (await run(`${root}test/cluster/cluster`, ['bin'])).output.trim()
  return kubectlPath
}

/** kubectl of the test cluster; answers its stdout. */
export async function kubectl(words: string[], options: RunOptions = {}): Promise<string> {
  return (await run(await kubectlBinary(), words, options)).output
}

/** A command in the background, until the end of the scope. `line` is the first line of its stdout that matches. */
export type Background = AsyncDisposable & { line: RegExpExecArray; pid: number }

/** Starts a command in the background and waits for a line of its stdout. */
export async function startInBackground(file: string, words: string[], ready: RegExp): Promise<Background> {
  interrupted.throwIfAborted()
  const child = spawn(file, words, { stdio: ['ignore', 'pipe', 'ignore'] })
  const closed = once(child, 'close')
  const end = async (): Promise<void> => {
    child.kill('SIGTERM')
    await closed
  }
  let output = ''
  try {
    const line = await new Promise<RegExpExecArray>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${file} did not say ${ready}`)), 15_000)
      interrupted.addEventListener('abort', () => reject(interrupted.reason as Error), { once: true })
      child.once('close', () => reject(new Error(`${file} ended: ${output}`)))
      child.stdout.on('data', (chunk: Buffer) => {
        output += chunk.toString()
        const found = ready.exec(output)
        if (found) resolve(found)
        if (found) clearTimeout(timer)
      })
    })
    return { line, pid: child.pid ?? 0, [Symbol.asyncDispose]: end }
  } catch (error) {
    await end()
    throw error
  }
}

/** Waits; rejects when the benchmark is interrupted. */
export async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms))
  interrupted.throwIfAborted()
}

/** Asks again until the answer is not undefined or false. */
export async function eventually<T>(what: string, probe: () => Promise<T | undefined | false>, seconds: number): Promise<T> {
  const began = performance.now()
  let last: unknown
  while (performance.now() - began < seconds * 1000) {
    try {
      const answer = await probe()
      if (answer !== undefined && answer !== false) return answer
    } catch (error) {
      last = error
    }
    await pause(100)
  }
  throw new Error(`waited ${seconds} s for ${what}`, { cause: last })
}
