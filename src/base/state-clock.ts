/** Remembers since when things are in the state that they are in. */
export class StateClock {
  readonly #since = new Map<string, { since: string; state: string }>()

  /** @returns when `name` came into `state`, ISO 8601; now, if it was in another one when it was last told */
  since(name: string, state: string): string {
    const known = this.#since.get(name)
    if (known?.state === state) return known.since
    const since = new Date().toISOString()
    this.#since.set(name, { since, state })
    return since
  }
}
