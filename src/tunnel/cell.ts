/** A value that changes, and a place to wait for what it becomes. */
export class Cell<T> {
  readonly #listeners = new Set<(value: T) => void>()
  #value: T

  constructor(value: T) {
    this.#value = value
  }

  get value(): T {
    return this.#value
  }

  set(value: T): void {
    this.#value = value
    for (const listener of this.#listeners) listener(value)
  }

  /** Sets some members of an object. */
  patch(part: Partial<T>): void {
    this.set({ ...this.#value, ...part })
  }

  /** Calls on every change from now on; answers how to stop it. */
  onChange(listener: (value: T) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /**
   * Waits until `probe` answers something other than undefined; it may throw to give up.
   * @throws the signal's reason when it aborts first, or what `probe` throws
   */
  until<R>(probe: (value: T) => R | undefined, signal: AbortSignal): Promise<R> {
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        this.#listeners.delete(check)
        signal.removeEventListener('abort', onAbort)
      }
      const onAbort = (): void => {
        stop()
        reject(signal.reason as Error)
      }
      const check = (value: T): void => {
        try {
          const result = probe(value)
          if (result === undefined) return
          stop()
          resolve(result)
        } catch (error) {
          stop()
          reject(error)
        }
      }

      if (signal.aborted) return void reject(signal.reason as Error)
      this.#listeners.add(check)
      signal.addEventListener('abort', onAbort)
      check(this.#value)
    })
  }
}
