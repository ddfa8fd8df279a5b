import type { Duplex } from 'node:stream'
import { TpxError } from '../base/error.ts'
import { ControlClient } from '../wire/control-channel.ts'
import type { HostFacts, TunnelSnapshot } from '../wire/control.ts'

/** Calls after which the tunnel may have more, or less, to go on with. */
const CHANGES = new Set(['attach', 'connect', 'leave', 'quit'])

/**
 * The tunnel's control stream, whenever there is one: the tunnel opens it and answers on it. The newest counts.
 * A new tunnel is first told what the one before it held.
 */
export class TunnelControl {
  readonly #waiting = new Set<(client: ControlClient) => void>()
  #client: ControlClient | undefined
  #facts: HostFacts | undefined
  #snapshot: TunnelSnapshot | null = null

  get isUp(): boolean {
    return this.#client !== undefined
  }

  adopt(stream: Duplex): void {
    this.#client?.close()
    const client = new ControlClient(stream)
    this.#client = client
    // Before the session begins, so that the first routes are the right ones.
    if (this.#facts) client.call('host', this.#facts).catch(() => {})
    // A tunnel of another version may not know the call: then it starts from nothing.
    client
      .call('resume', { snapshot: this.#snapshot })
      // A link that took the place of another knows nothing yet of what the tunnel holds.
      .then(() => this.#remember(client))
      .catch(() => {})
    const forget = (): void => {
      if (this.#client === client) this.#client = undefined
      stream.destroy()
    }
    // A tunnel that has died ends a unix socket and no more: calls must wait for the next one, not be written to nobody.
    stream.once('end', forget).once('close', forget)
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

  /** Tells the tunnel, and each one after it, what is known of this host. */
  tell(facts: HostFacts): void {
    this.#facts = facts
    this.#client?.call('host', facts).catch(() => {})
  }

  /** Remembers what the tunnel holds now: DNS answers hand out virtual addresses without any call. */
  async refresh(): Promise<void> {
    if (this.#client) await this.#remember(this.#client)
  }

  /** Forwards a call of the CLI; what the tunnel holds afterwards is remembered. */
  async forward(client: ControlClient, call: { method: string; params: unknown; progress: (text: string) => void }): Promise<unknown> {
    try {
      return await client.forward(call.method, call.params, call.progress)
    } finally {
      if (CHANGES.has(call.method)) void this.#remember(client)
    }
  }

  async #remember(client: ControlClient): Promise<void> {
    this.#snapshot = await client.call('snapshot', {}).catch(() => this.#snapshot)
  }

  close(): void {
    this.#client?.close()
  }
}
