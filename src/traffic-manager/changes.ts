/** Tells listeners that something changed: once for all changes of one tick, so that a burst costs one snapshot. */
export class Changes {
  readonly #listeners = new Set<() => void>()
  #scheduled = false

  /** Calls `listener` after each tick with changes, until the returned function is called. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Notes a change. */
  emit(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      // A listener may subscribe or leave others while it runs.
      for (const listener of Array.from(this.#listeners)) listener()
    })
  }
}
