import { setMaxListeners } from 'node:events'

/** Milliseconds of a clock; handed in so that tests own the time. */
export type Clock = () => number

/**
 * Something that its owner must keep alive. `ended` aborts when it departs or expires; `graceMs`: how long its owner may be cut
 * off, on top of the time to live.
 */
export type Session = { readonly ended: AbortSignal; graceMs: number; readonly id: string; lastSeenMs: number }

type Entry<S> = { controller: AbortController; session: S }

/** Sessions of one kind, by id. A session not touched for `ttlMs` and its grace is removed by the next {@link expire}. */
export class SessionRegistry<S extends Session> {
  readonly #clock: Clock
  readonly #entries = new Map<string, Entry<S>>()
  readonly #onChange: (session: S, change: 'added' | 'removed') => void
  readonly #ttlMs: number

  constructor(options: { clock: Clock; onChange: (session: S, change: 'added' | 'removed') => void; ttlMs: number }) {
    this.#clock = options.clock
    this.#onChange = options.onChange
    this.#ttlMs = options.ttlMs
  }

  /** Adds the session that `make` builds on the given base. */
  add(id: string, make: (base: Session) => S): S {
    const controller = new AbortController()
    // Every watch and data stream of the session listens.
    setMaxListeners(0, controller.signal)
    const session = make({ ended: controller.signal, graceMs: 0, id, lastSeenMs: this.#clock() })
    this.#entries.set(id, { controller, session })
    this.#onChange(session, 'added')
    return session
  }

  get(id: string): S | undefined {
    return this.#entries.get(id)?.session
  }

  values(): S[] {
    return Array.from(this.#entries.values(), ({ session }) => session)
  }

  /** Notes a sign of life. */
  touch(session: S): void {
    session.lastSeenMs = this.#clock()
  }

  /** Removes a session and aborts its signal; false when there is none. */
  remove(id: string): boolean {
    const entry = this.#entries.get(id)
    if (!entry) return false
    this.#entries.delete(id)
    this.#onChange(entry.session, 'removed')
    entry.controller.abort()
    return true
  }

  /** Removes what was silent for longer than the time to live; answers the sessions that ended. */
  expire(): S[] {
    const limit = this.#clock() - this.#ttlMs
    const silent = this.values().filter(({ graceMs, lastSeenMs }) => lastSeenMs + graceMs < limit)
    for (const { id } of silent) this.remove(id)
    return silent
  }
}
