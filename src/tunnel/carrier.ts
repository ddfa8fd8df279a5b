import { once } from 'node:events'
import net from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf, TpxError } from '../base/error.ts'
import { CARRIER_DIR, type CarrierTarget, checkAnswer, formatTarget, LINK_SOCKET, SPARE_SOCKET } from '../wire/carrier.ts'
import { readLine } from '../wire/preface.ts'
import type { CarrierKind } from './settings.ts'
import { SpareStreams } from './spare-streams.ts'

/** How long the link may take to open a port-forward, milliseconds. */
const ANSWER_MS = 15_000
/** How long a spare stream of the exec carrier is waited for, milliseconds. */
const SPARE_MS = 2500
/** Longer than the longest back-off of those who try for ever: for them a link that comes back is there at once. */
const LINK_MS = 2100
const LINK_POLL_MS = 50

const NO_LINK = 'The link process on the host is not there'
const NO_LINK_HINT = 'Any tpx command for this connection starts it again, for example `tpx status`'

/** `waitMs`: how long a missing link is waited for; `shortBreak`: only if it is not missing for long. */
export type OpenOptions = { shortBreak?: boolean; signal?: AbortSignal; waitMs?: number }

/** Opens streams to the host and into the cluster, through the link. */
export interface Carrier {
  /**
   * Waits a little for a link where there is none.
   * @throws TpxError with the link's own code when it refuses, CARRIER_FAILED when there is no link or it does not answer
   */
  open(target: CarrierTarget, options?: OpenOptions): Promise<Duplex>
  close(): void
}

/** Opens the way to the link that the CLI chose. @param directory of the sockets, for tests */
export async function openCarrier(kind: CarrierKind, directory: string = CARRIER_DIR): Promise<Carrier> {
  if (kind === 'unix') return carrierOver({ take: () => dialLink(join(directory, LINK_SOCKET)), close: () => {} })
  return carrierOver(await SpareStreams.listen(join(directory, SPARE_SOCKET), SPARE_MS))
}

/** Puts the first lines of a carrier stream (wire/carrier.ts) on raw streams to the link. */
export function carrierOver(source: { close(): void; take(): Promise<Duplex> }): Carrier {
  let missingSince: number | null = null
  const takePatiently = async ({ shortBreak = false, signal, waitMs = LINK_MS }: OpenOptions): Promise<Duplex> => {
    const began = performance.now()
    for (;;) {
      try {
        const stream = await source.take()
        missingSince = null
        return stream
      } catch (error) {
        const now = performance.now()
        missingSince ??= now
        const isInVain = shortBreak && now - missingSince > 2 * waitMs
        if (isInVain || now - began >= waitMs || signal?.aborted)
          throw new TpxError('CARRIER_FAILED', NO_LINK, { cause: error, hint: NO_LINK_HINT })
        await sleep(LINK_POLL_MS, undefined, { signal }).catch(() => {})
      }
    }
  }
  return {
    open: async (target, options = {}) => {
      const stream = await takePatiently(options)
      try {
        options.signal?.throwIfAborted()
        await introduce(stream, target, options.signal)
        return stream
      } catch (error) {
        stream.destroy()
        throw error instanceof TpxError
          ? error
          : new TpxError('CARRIER_FAILED', `No answer from the link: ${messageOf(error)}`, { cause: error })
      }
    },
    close: () => source.close(),
  }
}

async function dialLink(path: string): Promise<Duplex> {
  const socket = net.connect({ allowHalfOpen: true, path })
  await once(socket, 'connect')
  return socket
}

/** Names the target and waits for the link's answer. */
async function introduce(stream: Duplex, target: CarrierTarget, signal: AbortSignal | undefined): Promise<void> {
  // The stream's later owner adds its own handler; without any, an error in between would end the process.
  stream.on('error', () => {})
  const onAbort = (): void => void stream.destroy(new TpxError('CARRIER_FAILED', 'Given up'))
  const timer = setTimeout(() => stream.destroy(new TpxError('CARRIER_FAILED', 'The link did not open the stream in time')), ANSWER_MS)
  signal?.addEventListener('abort', onAbort)
  try {
    stream.write(formatTarget(target))
    checkAnswer(await readLine(stream))
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
}
