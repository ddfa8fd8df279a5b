import { setTimeout as sleep } from 'node:timers/promises'
import { TpxError } from '../base/error.ts'
import type { ControlClient } from '../wire/control-channel.ts'
import type { ControlMethod, ControlMethods, Ownership } from '../wire/control.ts'
import { openControl } from './link-process.ts'

const RETRY_MS = 200
/** A killed link is back within two seconds. */
const PATIENCE_MS = 8000

/** A control stream that is opened again when the link was replaced by another process, and owns there what it owned before. */
export class LastingControl {
  readonly #connection: string
  readonly #ending = new AbortController()
  readonly #ownership: Ownership
  #client: Promise<ControlClient>

  private constructor(connection: string, client: ControlClient, ownership: Ownership) {
    this.#connection = connection
    this.#ownership = ownership
    this.#client = Promise.resolve(client)
    this.#follow(client)
  }

  /** Owns from now on. */
  static async own(connection: string, client: ControlClient, ownership: Ownership): Promise<LastingControl> {
    await client.call('link.own', ownership)
    return new LastingControl(connection, client, ownership)
  }

  /** As {@link ControlClient.call}; waits some seconds for a link that is being replaced. */
  async call<M extends ControlMethod>(method: M, params: ControlMethods[M]['params']): Promise<ControlMethods[M]['result']> {
    const limit = sleep(PATIENCE_MS, undefined, { ref: false }).then(() => {
      throw new TpxError('LINK_FAILED', 'The link is away', { hint: 'Any tpx command for this connection starts it again' })
    })
    return (await Promise.race([this.#client, limit])).call(method, params)
  }

  close(): void {
    this.#ending.abort()
    void this.#client.then((client) => client.close()).catch(() => {})
  }

  #follow(client: ControlClient): void {
    void client.closed.then(() => {
      if (this.#ending.signal.aborted) return
      this.#client = this.#reopen()
      this.#client.catch(() => {})
    })
  }

  async #reopen(): Promise<ControlClient> {
    for (;;) {
      await sleep(RETRY_MS, undefined, { signal: this.#ending.signal })
      const client = await openControl(this.#connection)
      if (!client) continue
      this.#follow(client)
      const isOwned = await client.call('link.own', this.#ownership).then(
        () => true,
        () => false,
      )
      if (isOwned) return client
      client.close()
      throw new TpxError('LINK_FAILED', 'The link went away again')
    }
  }
}
