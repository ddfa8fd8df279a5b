import type { Duplex } from 'node:stream'
import { TpxError } from '../base/error.ts'
import { ControlClient } from '../wire/control-channel.ts'

/** The tunnel's control stream, whenever there is one: the tunnel opens it and answers on it. The newest counts. */
export class TunnelControl {
  readonly #waiting = new Set<(client: ControlClient) => void>()
  #client: ControlClient | undefined

  get isUp(): boolean {
    return this.#client !== undefined
  }

  adopt(stream: Duplex): void {
    this.#client?.close()
    const client = new ControlClient(stream)
    this.#client = client
    stream.once('close', () => {
      if (this.#client === client) this.#client = undefined
    })
    for (const resolve of this.#waiting) resolve(client)
    this.#waiting.clear()
  }

  /**
   * The control client, waited for where there is none yet.
   * @throws TpxError TUNNEL_FAILED after `limitMs`
   */
  get(limitMs: number, container: string): Promise<ControlClient> {
    if (this.#client) return Promise.resolve(this.#client)
    return new Promise((resolve, reject) => {
      const give = (client: ControlClient): void => {
        clearTimeout(timer)
        resolve(client)
      }
      const timer = setTimeout(() => {
        this.#waiting.delete(give)
        reject(
          new TpxError('TUNNEL_FAILED', `The tunnel container "${container}" has not called the link within ${limitMs / 1000} s`, {
            hint: `docker logs ${container}`,
          }),
        )
      }, limitMs)
      this.#waiting.add(give)
    })
  }

  close(): void {
    this.#client?.close()
  }
}
