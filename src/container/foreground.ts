import { constants } from 'node:os'
import { execa } from 'execa'

const FORWARDED = ['SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const

/** How a program ended: its exit status (128 + n for signal n), or that it could not be started. */
export type Ended = { status: number } | { cannotStart: string; isMissing: boolean }

/**
 * Runs a program of this host with our terminal. Ctrl-C reaches it through the terminal; other signals are forwarded.
 * @param env added to our environment; undefined takes a variable away
 */
export async function runForeground(file: string, words: string[], env: Record<string, string | undefined> = {}): Promise<Ended> {
  const child = execa(file, words, { env, reject: false, stdio: 'inherit' })
  const forward = (signal: NodeJS.Signals): void => void child.kill(signal)
  const ignore = (): void => {}
  const onInterrupt = process.stdin.isTTY ? ignore : forward
  process.on('SIGINT', onInterrupt)
  for (const signal of FORWARDED) process.on(signal, forward)
  try {
    const { code, exitCode, shortMessage, signal } = await child
    if (exitCode !== undefined) return { status: exitCode }
    if (signal) return { status: 128 + constants.signals[signal] }
    return { cannotStart: shortMessage ?? 'unknown error', isMissing: code === 'ENOENT' }
  } finally {
    process.off('SIGINT', onInterrupt)
    for (const signal of FORWARDED) process.off(signal, forward)
  }
}
