import type { Destination } from './dialer.ts'
import { listenTransparently, type OnAccepted, type TransparentListener } from './transparent-listener.ts'

/** Makes sure that a written-back SYN meets a listener. */
export interface Admission {
  /** Call before the SYN is written back, and `close` once for each when its connection was accepted or given up. */
  open(destination: Destination): Promise<void>
  close(destination: Destination): void
}

/** For nft's tproxy: one listener is always there. */
export const ALWAYS_ADMITTED: Admission = { open: async () => {}, close: () => {} }

type Entry = { listener: Promise<TransparentListener>; users: number }

/**
 * For kernels without nft's tproxy: listens on each destination, only while a SYN is under way, because an app of the same
 * namespace cannot listen on the port meanwhile.
 */
export class DestinationListeners implements Admission {
  readonly #entries = new Map<string, Entry>()
  readonly #onAccepted: OnAccepted

  constructor(onAccepted: OnAccepted) {
    this.#onAccepted = onAccepted
  }

  /** @throws Error when an app of the namespace listens on the port already */
  async open(destination: Destination): Promise<void> {
    const key = keyOf(destination)
    let entry = this.#entries.get(key)
    if (!entry) {
      entry = { listener: listenTransparently(destination, this.#onAccepted), users: 0 }
      this.#entries.set(key, entry)
    }

    entry.users++
    try {
      await entry.listener
    } catch (error) {
      this.close(destination)
      throw error
    }
  }

  close(destination: Destination): void {
    const key = keyOf(destination)
    const entry = this.#entries.get(key)
    if (!entry || --entry.users > 0) return
    this.#entries.delete(key)
    entry.listener.then((listener) => listener.close()).catch(() => {})
  }
}

function keyOf({ address, port }: Destination): string {
  return `${address} ${port}`
}
