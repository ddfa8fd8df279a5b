import { Duplex } from 'node:stream'
import { FRAME } from './frames.ts'
import type { Mux } from './mux.ts'

const READ_AHEAD = 64 << 10
const WRITE_AHEAD = 256 << 10
/** Parts of a chunk that wait in memory are copied out of it when they are less than this share of it. */
const COPY_BELOW = 4

type Pending = { chunks: Buffer[]; done: (error?: Error | null) => void; length: number }

/**
 * One connection on a mux. END is a FIN; a destroyed stream is a reset on the other side, and the other way round: it then
 * emits `error`, never a false `end`. What the far side may send ahead of the reader is bounded by a window that grows with use.
 */
export class MuxStream extends Duplex {
  readonly id: number
  readonly #mux: Mux
  #credit: number
  #granted = 0
  #isGone = false
  #pending: Pending | undefined
  #received = 0
  #sinceGrowth = 0
  #uncredited = 0
  #window: number

  /**
   * @param options `credit`: how much may be sent; `window`: how much the far side may send
   * Made by {@link Mux} only.
   */
  constructor(mux: Mux, options: { credit: number; id: number; window: number }) {
    super({ allowHalfOpen: true, readableHighWaterMark: READ_AHEAD, writableHighWaterMark: WRITE_AHEAD })
    this.id = options.id
    this.#mux = mux
    this.#credit = options.credit
    this.#window = options.window
    // A reset that nobody waits for must not end the process.
    this.on('error', () => {})
  }

  /** The mux that carries it. */
  get mux(): Mux {
    return this.#mux
  }

  /** Whether it has data that it could send now. */
  get isEager(): boolean {
    return this.#pending !== undefined && this.#credit > 0
  }

  override _read(): void {
    this.#settle()
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#offer({ chunks: [chunk], done, length: chunk.length })
  }

  override _writev(items: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    const chunks = items.map(({ chunk }) => chunk)
    this.#offer({ chunks, done, length: chunks.reduce((sum, { length }) => sum + length, 0) })
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#mux.send(FRAME.fin, this.id)
    done()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const isWhole = !error && this.writableFinished && this.readableEnded
    if (!isWhole && !this.#isGone) this.#mux.send(FRAME.reset, this.id)
    this.#mux.forget(this, this.#window)
    this.#pending?.done(new Error('reset'))
    this.#pending = undefined
    done(error)
  }

  /** The far side sent data. @throws Error when it is more than it may send */
  receive(part: Buffer, chunkBytes: number): void {
    this.#received += part.length
    if (this.#received > this.#granted + this.#window) throw new Error('The far side sent more than the window allows')
    if (this.destroyed) return
    const isRead = this.readableFlowing === true && this.readableLength === 0
    const isFlowing = this.push(isRead || part.length * COPY_BELOW > chunkBytes ? part : Buffer.from(part))
    this.#uncredited += part.length
    if (isFlowing) this.#settle()
  }

  /** The far side sent a FIN. */
  receiveEnd(): void {
    if (!this.destroyed) this.push(null)
  }

  /** The far side reset, or the mux is gone: nothing is to be told to it. */
  receiveReset(reason: Error): void {
    this.#isGone = true
    this.destroy(reason)
  }

  /** The far side allows more. */
  receiveCredit(bytes: number): void {
    this.#credit += bytes
    if (this.isEager) this.#mux.enqueue(this)
  }

  /** Sends one frame of what waits. */
  sendSome(most: number): void {
    const pending = this.#pending
    if (!pending || this.destroyed) return
    const length = Math.min(this.#credit, pending.length, most)
    if (length === 0) return
    this.#mux.send(FRAME.data, this.id, take(pending, length))
    this.#credit -= length
    if (pending.length > 0) return
    this.#pending = undefined
    pending.done()
  }

  #offer(pending: Pending): void {
    if (this.destroyed) return pending.done(new Error('reset'))
    if (pending.length === 0) return pending.done()
    this.#pending = pending
    this.#mux.enqueue(this)
  }

  /** What was read may come again; a reader that uses up its window gets a larger one, as long as there are any. */
  #settle(): void {
    if (this.#uncredited < this.#window / 4 || this.destroyed) return
    let bytes = this.#uncredited
    this.#sinceGrowth += bytes
    this.#granted += bytes
    this.#uncredited = 0
    if (this.#sinceGrowth >= this.#window) {
      const more = this.#mux.growWindow(this.#window)
      this.#window += more
      bytes += more
      this.#sinceGrowth = 0
    }
    const body = Buffer.alloc(4)
    body.writeUInt32BE(bytes)
    this.#mux.send(FRAME.window, this.id, body)
  }
}

/** Takes `length` bytes off the front; copies only where they lie in several chunks. */
function take(pending: Pending, length: number): Buffer {
  pending.length -= length
  const [first] = pending.chunks
  if (first!.length > length) {
    pending.chunks[0] = first!.subarray(length)
    return first!.subarray(0, length)
  }
  if (first!.length === length) {
    pending.chunks.shift()
    return first!
  }
  const parts: Buffer[] = []
  let left = length
  while (left > 0) {
    const chunk = pending.chunks[0]!
    const part = chunk.subarray(0, left)
    parts.push(part)
    left -= part.length
    if (part.length === chunk.length) pending.chunks.shift()
    else pending.chunks[0] = chunk.subarray(part.length)
  }
  return Buffer.concat(parts)
}
