// The load generators: the sample program's hold, transfer and requests (test/cluster/sample/load.go), in containers or Pods.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { SAMPLE_IMAGE } from '../helpers/cluster.ts'
import { docker, run } from '../helpers/tpx.ts'

/** Counts of one window of `requests`; milliseconds, -1 for never. Begins anew with each {@link Load.stats}. */
export type RequestWindow = {
  dialErrors: Record<string, number>
  dials: number
  elsewhere: number
  errors: Record<string, number>
  failed: number
  firstOkMs: number
  lastFailedMs: number
  longestGapMs: number
  ok: number
  oldestMs: number
  waiting: number
}

/** One line of a generator. `atMs`: since 1970. */
export type LoadEvent = {
  atMs: number
  bytes?: number
  error?: string
  event: 'broken' | 'connected' | 'done' | 'echo' | 'progress' | 'stats'
  matches?: boolean
  sha256?: string
  stats?: RequestWindow
}

/** A generator that runs; it goes on with the next round when it is given a line. */
export class Load implements AsyncDisposable {
  readonly events: LoadEvent[] = []
  readonly title: string
  readonly #child: ChildProcessWithoutNullStreams
  readonly #closed: Promise<unknown>
  readonly #dispose: () => Promise<unknown>
  readonly #waiting = new Set<() => void>()
  #stderr = ''

  constructor(title: string, words: [file: string, ...words: string[]], dispose: () => Promise<unknown>) {
    this.title = title
    this.#dispose = dispose
    const [file, ...rest] = words
    this.#child = spawn(file, rest)
    this.#closed = once(this.#child, 'close')
    this.#child.stdin.on('error', () => {})
    this.#child.stderr.on('data', (chunk: Buffer) => (this.#stderr += chunk.toString()))
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      this.events.push(JSON.parse(line) as LoadEvent)
      for (const wake of this.#waiting) wake()
    })
  }

  /** The last event of a kind. */
  last(event: LoadEvent['event']): LoadEvent | undefined {
    return this.events.findLast((one) => one.event === event)
  }

  tell(line: string): void {
    this.#child.stdin.write(`${line}\n`)
  }

  /** The next event, from index `from` on, that fits; rejects after `limitMs`. */
  async next(what: string, fits: (event: LoadEvent) => boolean, { from, limitMs }: { from: number; limitMs: number }): Promise<LoadEvent> {
    const deadline = performance.now() + limitMs
    for (;;) {
      const found = this.events.slice(from).find(fits)
      if (found) return found
      const left = deadline - performance.now()
      if (left <= 0 || this.#child.exitCode !== null)
        throw new Error(
          `${this.title}: no ${what} within ${limitMs} ms; the last: ${JSON.stringify(this.events.slice(-3))} ${this.#stderr.trim()}`,
        )
      await this.#changed(Math.min(left, 500))
    }
  }

  /** The counts since the last call. */
  async stats(): Promise<RequestWindow> {
    const from = this.events.length
    this.tell('')
    const { stats } = await this.next('counts', ({ event }) => event === 'stats', { from, limitMs: 5000 })
    return stats as RequestWindow
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end()
    await this.#dispose()
    this.#child.kill()
    await this.#closed
  }

  #changed(limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(wake)
        resolve()
      }
      const timer = setTimeout(wake, limitMs)
      this.#waiting.add(wake)
    })
  }
}

/** Container of a load or a server in a connection's namespace: its name, and what must not change. */
export type AppContainer = { identity: () => Promise<string>; name: string }

const identityOf = (name: string) => docker('inspect', '--format', '{{.Id}} {{.State.Pid}} {{.State.Running}} {{.RestartCount}}', name)
const remove = (name: string) => docker('rm', '--force', '--volumes', name).catch(() => '')

/** A generator in an app container that joins the connection's namespace. */
export async function loadInContainer(connection: string, title: string, words: string[]): Promise<{ app: AppContainer; load: Load }> {
  const name = `tpx-test-${connection}-${title}`
  await remove(name)
  const options = ['--interactive', '--rm', '--name', name, '--network', `container:tpx-${connection}-holder`]
  const load = new Load(title, ['docker', 'run', ...options, SAMPLE_IMAGE, ...words], () => remove(name))
  return { app: { identity: () => identityOf(name), name }, load }
}

/** A web server in an app container, on this port of the connection's namespace. */
export async function serverInContainer(connection: string, port: number): Promise<AppContainer & AsyncDisposable> {
  const name = `tpx-test-${connection}-server`
  await remove(name)
  const environment = ['--env', 'NAME=developer', '--env', `PORT=${port}`]
  await docker('run', '--detach', '--name', name, '--network', `container:tpx-${connection}-holder`, ...environment, SAMPLE_IMAGE)
  return { identity: () => identityOf(name), name, [Symbol.asyncDispose]: async () => void (await remove(name)) }
}

/** A generator in the `caller` Pod of a namespace; past the proxies, straight to the cluster. */
export async function loadInPod(namespace: string, title: string, words: string[]): Promise<Load> {
  const cluster = new URL('../cluster/cluster', import.meta.url).pathname
  const kubectl = (await run(cluster, ['bin'])).trim()
  return new Load(title, [kubectl, 'exec', '--stdin', '--namespace', namespace, 'deploy/caller', '--', '/sample', ...words], async () => {})
}
