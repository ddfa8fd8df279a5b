import type { Duplex } from 'node:stream'
import { asTpxError, messageOf, TpxError } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import { type CarrierTarget, formatAnswer, parseTarget } from '../wire/carrier.ts'
import { readLine } from '../wire/preface.ts'
import type { ClusterAccess } from './cluster-access.ts'
import { linkStreams } from './linked-stream.ts'

/** What carrier streams can lead to. */
export type Destinations = {
  /** Settles when the preflight has; streams that come early wait for it. */
  cluster: Promise<Pick<ClusterAccess, 'open'>>
  control: { adopt(stream: Duplex): void }
  dial: { adopt(id: string, stream: Duplex): void }
  dns(stream: Duplex): void
}

/** Reads the first line of each carrier stream, opens what it names, answers, and joins the two. */
export class TargetRouter {
  readonly #destinations: Destinations
  readonly #logger: Logger
  readonly #signal: AbortSignal

  constructor(destinations: Destinations, logger: Logger, signal: AbortSignal) {
    this.#destinations = destinations
    this.#logger = logger
    this.#signal = signal
  }

  /**
   * @param taken called when the first line has come: a spare stream is one no longer
   * @returns when the stream has ended; never rejects
   */
  async route(stream: Duplex, taken?: () => void): Promise<void> {
    stream.on('error', (error) => this.#logger.debug({ reason: error.message }, 'carrier stream failed'))
    let line: string
    try {
      line = await readLine(stream)
    } catch (error) {
      this.#logger.debug({ reason: messageOf(error) }, 'carrier stream ended unused')
      return void stream.destroy()
    }

    taken?.()
    try {
      await this.#join(stream, parseTarget(line), line)
    } catch (error) {
      const { code, hint, message } = forContainer(asTpxError(error))
      this.#logger.warn({ code, message, target: line }, 'stream refused')
      if (!stream.destroyed) stream.end(formatAnswer({ error: { code, message, ...(hint ? { hint } : {}) } }))
      // Nobody reads what the tunnel may still send; without this its end is never seen.
      stream.resume()
    }
  }

  async #join(stream: Duplex, target: CarrierTarget, line: string): Promise<void> {
    if (!('name' in target)) {
      stream.write(formatAnswer({ ok: true }))
      if (target.kind === 'control') this.#destinations.control.adopt(stream)
      else if (target.kind === 'dial') this.#destinations.dial.adopt(target.id, stream)
      else this.#destinations.dns(stream)
      return
    }

    const gone = new AbortController()
    const abort = (): void => gone.abort()
    stream.once('close', abort)
    const cluster = await this.#destinations.cluster
    const podStream = await cluster.open(target, AbortSignal.any([gone.signal, this.#signal]))
    stream.off('close', abort)
    if (stream.destroyed) return void podStream.destroy()
    stream.write(formatAnswer({ ok: true }))
    this.#logger.debug({ target: line }, 'stream open')
    const { error } = await linkStreams(stream, podStream)
    this.#logger.debug({ reason: error?.message, target: line }, 'stream closed')
  }
}

/** What a credential plugin wrote is for the host: the tunnel would put it into the log of its container. */
function forContainer(error: TpxError): TpxError {
  if (error.code !== 'CREDENTIAL_PLUGIN_FAILED') return error
  return new TpxError(error.code, 'The credential plugin of the kubeconfig failed', { hint: 'See "tpx status"' })
}
