// Containers for tests: everything started is removed again, and everything has a time limit.
import { execFile, type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'

const DEFAULT_TIMEOUT_MS = 30_000

/** For node:test's `skip`: false where a Docker Engine answers, else the reason. In CI (CI=true) a missing engine is a failure. */
export function dockerMissing(): string | false {
  const { status, stderr } = spawnSync('docker', ['version', '--format', '{{.Server.Version}}'], { encoding: 'utf8', timeout: 10_000 })
  if (status === 0) return false
  const reason = `no Docker Engine answers: ${(stderr ?? '').trim().split('\n')[0] || 'no docker command'}`
  if (process.env['CI'] === 'true') throw new Error(reason)
  return reason
}

/** As {@link dockerMissing}, and the image must be there too. */
export function imageMissing(image: string): string | false {
  const missing = dockerMissing()
  if (missing || spawnSync('docker', ['image', 'inspect', image], { stdio: 'ignore', timeout: 10_000 }).status === 0) return missing
  const reason = `the Docker Engine has no image "${image}"; build it with scripts/images`
  if (process.env['CI'] === 'true') throw new Error(reason)
  return reason
}

/** A name that no other test run uses. */
export function uniqueName(prefix: string): string {
  return `${prefix}-${randomBytes(4).toString('hex')}`
}

/**
 * Runs a docker command.
 * @returns its stdout without the last line feed
 * @throws Error with its stderr
 */
export function docker(args: string[], options: { timeoutMs?: number } = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      'docker',
      args,
      { encoding: 'utf8', maxBuffer: 64 << 20, timeout: options.timeoutMs ?? DEFAULT_TIMEOUT_MS },
      (error, stdout, stderr) => {
        if (error) reject(new Error(`docker ${args.slice(0, 3).join(' ')} …: ${stderr.trim() || error.message}`))
        else resolve(stdout.replace(/\n$/, ''))
      },
    )
  })
}

/** What `docker run` is asked for. `options` come before the image, e.g. ["--cap-drop", "ALL"]. */
export type ContainerOptions = { command?: string[]; image: string; name: string; options?: string[] }

/** A container in the background. `await using` removes it at the end. */
export class TestContainer implements AsyncDisposable {
  readonly name: string

  private constructor(name: string) {
    this.name = name
  }

  static async start({ command = [], image, name, options = [] }: ContainerOptions): Promise<TestContainer> {
    await docker(['run', '--detach', '--name', name, ...options, image, ...command])
    return new TestContainer(name)
  }

  /** Its first IPv4 address. */
  address(): Promise<string> {
    return docker(['inspect', '--format', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}', this.name])
  }

  /** Runs a command inside and answers its stdout. */
  exec(...command: string[]): Promise<string> {
    return docker(['exec', this.name, ...command])
  }

  /** Everything it has written, stdout and stderr. */
  logs(): Promise<string> {
    return new Promise((resolve) => {
      execFile('docker', ['logs', this.name], { encoding: 'utf8', maxBuffer: 64 << 20, timeout: DEFAULT_TIMEOUT_MS }, (_, stdout, stderr) =>
        resolve(stdout + stderr),
      )
    })
  }

  /** Waits until its log matches `times` times. */
  async waitForLog(pattern: RegExp, options: { timeoutMs?: number; times?: number } = {}): Promise<string> {
    const { timeoutMs = DEFAULT_TIMEOUT_MS, times = 1 } = options
    const end = performance.now() + timeoutMs
    const global = new RegExp(pattern, 'gm')
    for (;;) {
      const logs = await this.logs()
      const found = logs.match(global) ?? []
      if (found.length >= times) return found[times - 1] ?? ''
      if (performance.now() > end) throw new Error(`container "${this.name}" did not log ${pattern} in ${timeoutMs} ms:\n${logs}`)
      await new Promise((resolve) => setTimeout(resolve, 30))
    }
  }

  async kill(signal = 'KILL'): Promise<void> {
    await docker(['kill', '--signal', signal, this.name])
  }

  async restart(): Promise<void> {
    await docker(['start', this.name])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await docker(['rm', '--force', '--volumes', this.name]).catch(() => {})
  }
}

/** A container in the foreground, whose stdin and stdout the test talks to. */
export function attachContainer({ command = [], image, name, options = [] }: ContainerOptions): {
  process: ChildProcessWithoutNullStreams
} & AsyncDisposable {
  const child = spawn('docker', ['run', '--interactive', '--rm', '--name', name, ...options, image, ...command])
  return {
    process: child,
    async [Symbol.asyncDispose]() {
      await docker(['rm', '--force', '--volumes', name]).catch(() => {})
      child.kill()
    },
  }
}
