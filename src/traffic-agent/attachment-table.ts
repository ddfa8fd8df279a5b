// What the manager told about our workload's attachments, and the streams that their owners opened by stream key.
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { Mux } from '../wire/mux.ts'

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
export type Route = { attachment: Attachment; mux: Mux }

type Row = { attachment: Attachment; digest: Buffer; files: Set<Duplex>; keepUntil: number; muxes: Mux[] }

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

  /** Takes a pipe of a key's owner into service, until it ends; of several the newest serves new connections. */
  addMux(key: string, mux: Mux): void {
    const row = this.#row(key)
    if (!row) return mux.destroy()
    row.muxes.push(mux)
    const { onClose } = mux
    mux.onClose = (reason) => {
      row.muxes = row.muxes.filter((other) => other !== mux)
      onClose(reason)
    }
    mux.pipe.onStrand(() => dropSuperseded(row))
    dropSuperseded(row)
  }

  /** Remembers a stream of files, to end it with its attachment. */
  addFiles(key: string, stream: Duplex): void {
    const row = this.#row(key)
    if (!row) return void stream.destroy()
    row.files.add(stream)
    stream.once('close', () => row.files.delete(stream))
  }

  /** Who serves new connections of a container's port; undefined: the app. */
  route(container: string, containerPort: number): Route | undefined {
    let found: Route | undefined
    let confirmed = false
    for (const { attachment, keepUntil, muxes } of this.#rows.values()) {
      if (attachment.containerPort !== containerPort || attachment.container !== container) continue
      const mux = muxes.findLast((mux) => isOpen(mux))
      // What the present manager knows goes before what only an earlier one knew.
      if (!mux || (confirmed && keepUntil !== Infinity)) continue
      confirmed = keepUntil === Infinity
      found = { attachment, mux }
    }
    return found
  }

  /** Resets all streams and forgets everything. */
  close(): void {
    for (const [key, row] of this.#rows) this.#drop(key, row)
  }

  #add(attachment: Attachment): void {
    const digest = digestOf(attachment.key)
    this.#rows.set(attachment.key, { attachment, digest, files: new Set(), keepUntil: Infinity, muxes: [] })
  }

  #row(key: string): Row | undefined {
    const digest = digestOf(key)
    let found: Row | undefined
    for (const row of this.#rows.values()) if (timingSafeEqual(row.digest, digest)) found = row
    return found
  }

  #drop(key: string, row: Row): void {
    this.#rows.delete(key)
    for (const mux of row.muxes) mux.destroy()
    for (const stream of row.files) stream.destroy()
  }
}

/** Whether the developer can take new connections: while the way there is cut, the app serves. */
export function isOpen({ isDraining, pipe }: Mux): boolean {
  return pipe.isUp && !isDraining
}

/** An owner who has begun another pipe crashed before: one that is cut will not come back, and its callers must not wait for it. */
function dropSuperseded({ muxes }: Row): void {
  for (const mux of muxes.slice(0, -1)) if (!mux.pipe.isUp) mux.destroy()
}

function digestOf(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}
