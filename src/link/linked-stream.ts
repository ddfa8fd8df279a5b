import type { Duplex } from 'node:stream'
import { joinWrites } from '../wire/join.ts'

/**
 * Copies bytes between two streams. An end goes on as an end; a failure or a close without an end destroys the other
 * side with an error, so that it is not taken for a clean end where the stream can tell the two apart.
 * @returns a promise that settles when both are closed; it never rejects
 */
export function linkStreams(a: Duplex, b: Duplex): Promise<{ error: Error | undefined }> {
  return new Promise((resolve) => {
    let error: Error | undefined
    let open = 2
    const watch = (one: Duplex, other: Duplex): void => {
      one.on('error', (cause: Error) => {
        error ??= cause
        other.destroy(cause)
      })
      one.once('close', () => {
        if (!one.readableEnded || !one.writableFinished) other.destroy(one.errored ?? new Error('The other side closed'))
        open -= 1
        if (!open) resolve({ error })
      })
    }
    watch(a, b)
    watch(b, a)
    joinWrites(a, b)
    joinWrites(b, a)
    a.pipe(b)
    b.pipe(a)
    // One that closed before it got here emits no event any more.
    if (a.destroyed) b.destroy(a.errored ?? new Error('The other side closed'))
    if (b.destroyed) a.destroy(b.errored ?? new Error('The other side closed'))
  })
}
