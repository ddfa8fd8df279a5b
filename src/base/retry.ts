import { setTimeout as sleep } from 'node:timers/promises'

/** How long to wait between tries: doubles from `firstMs` to `mostMs`, each shortened by up to a quarter at random. */
export type Backoff = { firstMs: number; mostMs: number }

/** The wait before try `n` (0 = the first repeat), in milliseconds. */
export function backoffMs({ firstMs, mostMs }: Backoff, n: number, random: number = Math.random()): number {
  return Math.min(mostMs, firstMs * 2 ** Math.min(n, 30)) * (1 - random / 4)
}

/**
 * Calls `work` until it ends by itself with true, or the signal aborts; waits by `backoff` after each false or error.
 * A try that lived longer than `mostMs` begins the back-off anew. `onWait` is told how long, before each wait.
 */
export async function keepTrying(
  work: (attempt: number) => Promise<boolean>,
  options: { backoff: Backoff; onError: (error: unknown) => void; onWait?: (waitMs: number) => void; signal: AbortSignal },
): Promise<void> {
  for (let attempt = 0, n = 0; !options.signal.aborted; attempt++) {
    const began = performance.now()
    try {
      if (await work(attempt)) return
    } catch (error) {
      if (options.signal.aborted) return
      options.onError(error)
    }

    n = performance.now() - began > options.backoff.mostMs ? 0 : n + 1
    const waitMs = backoffMs(options.backoff, n - 1)
    options.onWait?.(waitMs)
    await sleep(waitMs, undefined, { signal: options.signal }).catch(() => {})
  }
}

/** Waits until `probe` answers something, asking every `everyMs`; undefined after `timeoutMs`. */
export async function pollUntil<T>(
  probe: () => Promise<T | undefined>,
  options: { everyMs: number; timeoutMs: number; signal?: AbortSignal },
): Promise<T | undefined> {
  const end = performance.now() + options.timeoutMs
  for (;;) {
    const answer = await probe()
    if (answer !== undefined || performance.now() > end || options.signal?.aborted) return answer
    await sleep(options.everyMs)
  }
}
