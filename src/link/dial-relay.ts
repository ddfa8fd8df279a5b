import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { asTpxError, TpxError } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import { formatAnswer } from '../wire/carrier.ts'
import { linkStreams } from './linked-stream.ts'
import type { TunnelControl } from './tunnel-control.ts'

/** How long a tunnel that restarts is waited for. */
const TUNNEL_LIMIT_MS = 5000
/** How long a tunnel that was asked may take. */
const STREAM_LIMIT_MS = 5000

type Parts = { control: Pick<TunnelControl, 'get'>; logger: Logger; tunnelContainer: string }

/**
 * Joins processes of the host with streams of the tunnel, which dials for them. The tunnel cannot be dialed, so it is asked over
 * its control stream to open a carrier stream that bears the id.
 */
export class DialRelay {
  readonly #parts: Parts
  readonly #waiting = new Map<string, (stream: Duplex) => void>()

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Serves one connection of a process of the host. Never rejects. */
  async serve(socket: Socket): Promise<void> {
    socket.on('error', () => {})
    try {
      const stream = await this.#ask()
      if (socket.destroyed) return void stream.destroy()
      socket.write(formatAnswer({ ok: true }))
      await linkStreams(socket, stream)
    } catch (error) {
      const failure = asTpxError(error)
      this.#parts.logger.warn({ code: failure.code, reason: failure.message }, 'no stream for a process of the host')
      if (!socket.destroyed) socket.end(formatAnswer({ error: failure.toRecord() }))
      socket.resume()
    }
  }

  /** Takes the tunnel's stream; one that nobody waits for (any more) is closed. */
  adopt(id: string, stream: Duplex): void {
    const give = this.#waiting.get(id)
    if (give) give(stream)
    else stream.destroy()
  }

  async #ask(): Promise<Duplex> {
    const { control, tunnelContainer } = this.#parts
    const client = await control.get(TUNNEL_LIMIT_MS, tunnelContainer)
    const id = randomBytes(16).toString('hex')
    const { promise, reject, resolve } = Promise.withResolvers<Duplex>()
    this.#waiting.set(id, resolve)
    const timer = setTimeout(
      () => reject(new TpxError('TUNNEL_FAILED', 'The tunnel did not open a stream in time', { hint: `docker logs ${tunnelContainer}` })),
      STREAM_LIMIT_MS,
    )
    client.call('dial', { id }).catch(reject)
    return promise.finally(() => {
      clearTimeout(timer)
      this.#waiting.delete(id)
    })
  }
}
