import type { Writable } from 'node:stream'

type Entry = { body: Buffer | undefined; head: Buffer; size: number }

/** How many settled entries may stay at the front of the array before it is cut. */
const COMPACT_AT = 1024

/** Counted frames from the first that the far side has not confirmed; those before `next` are on the present strand. */
export class ReplayQueue {
  #entries: Entry[] = []
  #first = 0
  #next = 0
  /** Bytes of the first unwritten entry that the far side has already. */
  #skip = 0
  /** Positions in the pipe's byte count: of the first entry, of the next to be written, and of the end. */
  #base = 0
  #written = 0
  #end = 0

  /** Bytes that are not written to a strand yet. */
  get unsent(): number {
    return this.#end - this.#written
  }

  /** Bytes that the far side has not confirmed. */
  get unconfirmed(): number {
    return this.#end - this.#base
  }

  push(head: Buffer, body?: Buffer): void {
    const size = head.length + (body?.length ?? 0)
    this.#entries.push({ body, head, size })
    this.#end += size
  }

  /** The far side has everything before `position`; positions that cannot be are told by false. */
  confirm(position: number): boolean {
    if (position > this.#end) return false
    for (;;) {
      const entry = this.#entries[this.#first]
      if (!entry || this.#base + entry.size > position) break
      this.#base += entry.size
      this.#first++
    }
    if (this.#first > COMPACT_AT) {
      this.#entries = this.#entries.slice(this.#first)
      this.#next -= this.#first
      this.#first = 0
    }
    return true
  }

  /** A new strand: everything from `position` on is to be written again. @returns false when that is gone, or not there yet */
  rewind(position: number): boolean {
    if (position < this.#base || !this.confirm(position)) return false
    this.#next = this.#first
    this.#skip = position - this.#base
    this.#written = position
    return true
  }

  /** Writes whole frames until the strand has enough. @returns whether all is written */
  writeTo(strand: Writable): boolean {
    while (this.#next < this.#entries.length && !strand.writableNeedDrain) {
      const { body, head, size } = this.#entries[this.#next++]!
      this.#written += size - this.#skip
      if (this.#skip < head.length) strand.write(this.#skip > 0 ? head.subarray(this.#skip) : head)
      if (body) strand.write(this.#skip > head.length ? body.subarray(this.#skip - head.length) : body)
      this.#skip = 0
    }
    return this.#next === this.#entries.length
  }
}
