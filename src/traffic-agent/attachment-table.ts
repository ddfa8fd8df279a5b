// What the manager told about our workload's attachments, and the streams that their owners opened by stream key.
import { createHash, timingSafeEqual } from 'node:crypto'
import type http2 from 'node:http2'
import type { Duplex } from 'node:stream'

/**
 * One attachment of a port of this Pod, or the right to have this Pod dial (`outbound`, without container and port). `key` is the bearer
 * of its owner: never log it.
 */
export type Attachment = {
  container: string
  containerPort: number
  id: string
  kind: 'intercept' | 'outbound'
  key: string
  targetHost: string
  targetPort: number
}

/** Where a new connection of a taken-over port goes. */
export type Route = { attachment: Attachment; session: http2.ClientHttp2Session }

type Row = { attachment: Attachment; digest: Buffer; keepUntil: number; sessions: http2.ClientHttp2Session[]; streams: Set<Duplex> }

/** A new manager process knows no attachments until their owners have announced them again; meanwhile the old ones stay in force. */
const GRACE_MS = 60_000

/** The attachments in force, by stream key. */
export class AttachmentTable {
  readonly #now: () => number
  readonly #rows = new Map<string, Row>()

  /** @param now monotonic clock, milliseconds */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /**
   * Takes over a snapshot of the manager. The streams of what is gone are reset.
   * @param attachments those in force
   * @param removed keys that the manager names as removed
   * @param complete false: the manager may not know all of them yet
   */
  update(attachments: readonly Attachment[], removed: ReadonlySet<string>, complete: boolean): void {
    const present = new Set(attachments.map(({ key }) => key))
    for (const attachment of attachments) {
      const row = this.#rows.get(attachment.key)
      if (row) Object.assign(row, { attachment, keepUntil: Infinity })
      else this.#add(attachment)
    }

    for (const [key, row] of this.#rows) {
      if (present.has(key)) continue
      if (complete || removed.has(key)) this.#drop(key, row)
      else if (row.keepUntil === Infinity) row.keepUntil = this.#now() + GRACE_MS
    }
    this.sweep()
  }

  /** Drops what an earlier manager told and the present one did not confirm in time. */
  sweep(): void {
    for (const [key, row] of this.#rows) if (row.keepUntil <= this.#now()) this.#drop(key, row)
  }

  /** The attachment of a key, compared in constant time. */
  find(key: string): Attachment | undefined {
    return this.#row(key)?.attachment
  }

  /** Takes an inbound session of a key's owner into service; of several the newest serves new connections. */
  addSession(key: string, session: http2.ClientHttp2Session): void {
    const row = this.#row(key)
    if (!row) return void destroySession(session)
    row.sessions.push(session)
    session.once('close', () => {
      row.sessions = row.sessions.filter((other) => other !== session)
    })
  }

  /** Remembers a stream of files or of outbound connections, to end it with its attachment. */
  addStream(key: string, stream: Duplex): void {
    const row = this.#row(key)
    if (!row) return void stream.destroy()
    row.streams.add(stream)
    stream.once('close', () => row.streams.delete(stream))
  }

  /** Who serves new connections of a container's port; undefined: the app. */
  route(container: string, containerPort: number): Route | undefined {
    let found: Route | undefined
    let confirmed = false
    for (const { attachment, keepUntil, sessions } of this.#rows.values()) {
      if (attachment.containerPort !== containerPort || attachment.container !== container) continue
      const session = sessions.findLast((session) => isOpen(session))
      // What the present manager knows goes before what only an earlier one knew.
      if (!session || (confirmed && keepUntil !== Infinity)) continue
      confirmed = keepUntil === Infinity
      found = { attachment, session }
    }
    return found
  }

  /** Resets all streams and forgets everything. */
  close(): void {
    for (const [key, row] of this.#rows) this.#drop(key, row)
  }

  #add(attachment: Attachment): void {
    const digest = digestOf(attachment.key)
    this.#rows.set(attachment.key, { attachment, digest, keepUntil: Infinity, sessions: [], streams: new Set() })
  }

  #row(key: string): Row | undefined {
    const digest = digestOf(key)
    let found: Row | undefined
    for (const row of this.#rows.values()) if (timingSafeEqual(row.digest, digest)) found = row
    return found
  }

  #drop(key: string, row: Row): void {
    this.#rows.delete(key)
    for (const session of row.sessions) destroySession(session)
    for (const stream of row.streams) stream.destroy()
  }
}

/** Whether a session can take new streams. */
export function isOpen(session: http2.ClientHttp2Session): boolean {
  return !session.closed && !session.destroyed
}

/** Ends a session so that its streams are resets, not clean ends, for those who wait at them. */
export function destroySession(session: http2.ClientHttp2Session): void {
  session.destroy(new Error('Session lost'))
}

function digestOf(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}
