import type { Duplex } from 'node:stream'
import { TpxError } from '../base/error.ts'
import type { CarrierTarget } from '../wire/carrier.ts'
import { openTpxStream } from '../wire/preface.ts'
import type { Carrier } from './carrier.ts'

const LIMIT_MS = 10_000

/**
 * Opens a carrier stream and the tpx stream on it (wire/preface.ts); `words` is what the far side answered behind "ok".
 * @throws TpxError the link's or the far side's, CARRIER_FAILED when it says nothing
 */
export async function openTpx(
  carrier: Carrier,
  target: CarrierTarget,
  words: readonly [verb: string, ...args: string[]],
  signal: AbortSignal,
): Promise<{ stream: Duplex; words: string[] }> {
  const stream = await carrier.open(target, { signal })
  const onAbort = (): void => void stream.destroy()
  const timer = setTimeout(() => stream.destroy(new TpxError('CARRIER_FAILED', 'The far side did not accept the stream in time')), LIMIT_MS)
  signal.addEventListener('abort', onAbort)
  try {
    signal.throwIfAborted()
    return { stream, words: await openTpxStream(stream, ...words) }
  } catch (error) {
    stream.destroy()
    throw error
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
}
