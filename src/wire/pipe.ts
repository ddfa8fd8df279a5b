// A pipe is one reliable, ordered stream of frames between two tpx ends that outlives its connections. Each connection (a
// Kubernetes port-forward) is a *strand*; there is one at a time. When it is lost the pipe waits for the next, both sides say how
// far they have read, and what is missing is sent again.
import type { Duplex } from 'node:stream'
import { FRAME, frame, frameHead, FrameReader, isCounted } from './frames.ts'
import { ReplayQueue } from './replay-queue.ts'

/** Bytes on their way, unconfirmed, before streams have to wait: what 16 MiB allow at 80 ms is 200 MB/s. */
const MOST_UNCONFIRMED = 16 << 20
/** Bytes that wait for the strand before streams have to: enough to keep it busy, little enough to stay fair. */
const MOST_UNSENT = 128 << 10
/** The far side is told how far we are at the latest after so many bytes, or milliseconds. */
const CONFIRM_BYTES = 256 << 10
const CONFIRM_MS = 50
const PING_MS = 2000
/** A clock on the wall that was not looked at for this long means that the machine slept; others may have stood still. */
const SLEPT_MS = 5000
/** How long the far side may take to close its end of the last strand. */
const LINGER_MS = 2000
/** After sleep a strand that is alive answers a ping within this time. */
const AWAKE_MS = 2500

/** What a pipe tells the mux above it. */
export type PipeEvents = {
  /** Ended for good; everything on it is lost. */
  onClose: (reason: Error) => void
  onData: (id: number, part: Buffer) => void
  /** A counted frame that is not data. */
  onFrame: (type: number, id: number, body: Buffer) => void
  /** There is room for data again. */
  onRoom: () => void
}

/** How a pipe watches over itself. */
export type PipeOptions = {
  /** How long it waits for a new strand, milliseconds. */
  graceMs: number
  /** Whether this side asks for signs of life. The side that opens strands does. */
  pings: boolean
  /** After silence of this length a strand counts as lost, milliseconds. */
  silentMs: number
}

/** What a pipe is doing. `heardAt`: performance.now() of the last byte that came. */
export type PipeState = { downSince: number | null; heardAt: number | null; roundTripMs: number | null; strands: number }

const ignore = (): void => {}

/** @see the head of this file */
export class Pipe {
  readonly state: PipeState = { downSince: performance.now(), heardAt: null, roundTripMs: null, strands: 0 }
  #confirmed = 0
  #confirmTimer: NodeJS.Timeout | undefined
  #events: PipeEvents = { onClose: ignore, onData: ignore, onFrame: ignore, onRoom: ignore }
  #flushQueued = false
  #grace: NodeJS.Timeout | undefined
  #isClosed = false
  #isFull = false
  readonly #onStrand = new Set<() => void>()
  readonly #options: PipeOptions
  #pingedAt: number | null = null
  readonly #queue = new ReplayQueue()
  readonly #reader = new FrameReader({
    onData: (id, part) => this.#events.onData(id, part),
    onFrame: (type, id, body) => (isCounted(type) ? this.#events.onFrame(type, id, body) : this.#onOwnFrame(type, id, body)),
  })
  #strand: Duplex | undefined
  readonly #watch: NodeJS.Timeout
  #watchedAt = Date.now()

  constructor(options: PipeOptions) {
    this.#options = options
    this.#watch = setInterval(() => this.#checkLife(), Math.min(PING_MS, options.silentMs / 2))
    this.#watch.unref()
    this.#awaitStrand()
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  get isUp(): boolean {
    return this.#strand !== undefined
  }

  /** Whether data may be sent; other frames always may. */
  get hasRoom(): boolean {
    const hasRoom = this.#queue.unsent < MOST_UNSENT && this.#queue.unconfirmed < MOST_UNCONFIRMED
    if (!hasRoom) this.#isFull = true
    return hasRoom
  }

  /** How many bytes of the far side's have been taken in: where it must go on. */
  get position(): number {
    return this.#reader.position
  }

  /** Calls whenever a strand came or went, and at the pipe's end; answers how to stop it. */
  onStrand(listener: () => void): () => void {
    this.#onStrand.add(listener)
    return () => void this.#onStrand.delete(listener)
  }

  /** The mux above. */
  listen(events: PipeEvents): void {
    this.#events = events
  }

  /** Sends a frame that the far side gets exactly once, in order. */
  send(type: number, id: number, body?: Buffer): void {
    if (this.#isClosed) return
    this.#queue.push(frameHead(type, id, body?.length ?? 0), body)
    this.#flushSoon()
  }

  /**
   * Goes on over a new connection; one before it is given up. Bytes that came behind the opening lines must have been put back.
   * @param position how much the far side has taken in
   */
  attach(strand: Duplex, position: number): void {
    this.#dropStrand()
    if (this.#isClosed) return void strand.destroy()
    if (!this.#queue.rewind(position)) return this.destroy(new Error(`The far side of the pipe is at byte ${position}, which cannot be`))
    this.#reader.restart()
    this.#confirmed = this.#reader.position
    clearTimeout(this.#grace)
    this.#strand = strand
    const now = performance.now()
    Object.assign(this.state, { downSince: null, heardAt: now, strands: this.state.strands + 1 })
    this.#pingedAt = null
    this.#watchedAt = Date.now()
    const lose = (): void => this.#lose(strand)
    strand.on('error', ignore).once('end', lose).once('close', lose)
    strand.on('drain', () => this.#flush())
    strand.on('data', (chunk: Buffer) => this.#onChunk(strand, chunk)).resume()
    this.#tellStrand()
    this.#flush()
  }

  /** Gives the strand up, but not the pipe. */
  loseStrand(): void {
    if (this.#strand) this.#lose(this.#strand)
  }

  /** Ends the pipe on both sides. */
  destroy(reason: Error = new Error('The pipe was closed')): void {
    if (this.#isClosed) return
    this.#isClosed = true
    clearInterval(this.#watch)
    clearTimeout(this.#grace)
    clearTimeout(this.#confirmTimer)
    const strand = this.#strand
    this.#strand = undefined
    // FIN behind the word, and not at once a reset: kubectl's port-forward drops all its connections when one is reset.
    strand?.end(frame(FRAME.close, 0))
    if (strand) setTimeout(() => strand.destroy(), LINGER_MS).unref()
    this.#events.onClose(reason)
    this.#tellStrand()
  }

  #onChunk(strand: Duplex, chunk: Buffer): void {
    if (strand !== this.#strand) return
    this.state.heardAt = performance.now()
    try {
      this.#reader.push(chunk)
    } catch (error) {
      return this.destroy(error as Error)
    }
    const ahead = this.#reader.position - this.#confirmed
    if (ahead >= CONFIRM_BYTES) this.#confirm()
    else if (ahead > 0) this.#confirmTimer ??= setTimeout(() => this.#confirm(), CONFIRM_MS).unref()
  }

  #confirm(): void {
    clearTimeout(this.#confirmTimer)
    this.#confirmTimer = undefined
    this.#confirmed = this.#reader.position
    const body = Buffer.alloc(8)
    body.writeBigUInt64BE(BigInt(this.#confirmed))
    this.#strand?.write(frame(FRAME.ack, 0, body))
  }

  #onOwnFrame(type: number, id: number, body: Buffer): void {
    if (type === FRAME.ack) {
      if (body.length !== 8 || !this.#queue.confirm(Number(body.readBigUInt64BE())))
        throw new Error('A confirmation of bytes that were never sent')
      if (this.#isFull) this.#tellRoom()
    } else if (type === FRAME.ping) this.#strand?.write(frame(FRAME.pong, id))
    else if (type === FRAME.pong) {
      if (this.#pingedAt !== null) this.state.roundTripMs = performance.now() - this.#pingedAt
      this.#pingedAt = null
    } else if (type === FRAME.close) this.destroy(new Error('The far side closed the pipe'))
    else throw new Error(`Frame of unknown type ${type}`)
  }

  /** Frames of one turn of the event loop leave together. */
  #flushSoon(): void {
    if (this.#flushQueued) return
    this.#flushQueued = true
    setImmediate(() => {
      this.#flushQueued = false
      this.#flush()
    })
  }

  #flush(): void {
    const strand = this.#strand
    if (!strand) return
    strand.cork()
    this.#queue.writeTo(strand)
    strand.uncork()
    if (this.#isFull) this.#tellRoom()
  }

  #tellRoom(): void {
    if (!this.hasRoom) return
    this.#isFull = false
    this.#events.onRoom()
  }

  #tellStrand(): void {
    for (const listener of this.#onStrand) listener()
  }

  #lose(strand: Duplex): void {
    if (strand !== this.#strand) return void strand.destroy()
    this.#dropStrand()
    this.#awaitStrand()
    this.#tellStrand()
  }

  #dropStrand(): void {
    const strand = this.#strand
    this.#strand = undefined
    clearTimeout(this.#confirmTimer)
    this.#confirmTimer = undefined
    strand?.destroy()
  }

  #awaitStrand(): void {
    this.state.downSince ??= performance.now()
    clearTimeout(this.#grace)
    const { graceMs } = this.#options
    this.#grace = setTimeout(() => this.destroy(new Error(`No connection for ${graceMs / 1000} s`)), graceMs)
    this.#grace.unref()
  }

  #checkLife(): void {
    const now = performance.now()
    const slept = Date.now() - this.#watchedAt > SLEPT_MS
    this.#watchedAt = Date.now()
    const strand = this.#strand
    const { heardAt } = this.state
    if (!strand || heardAt === null) return
    const { pings, silentMs } = this.#options
    // Asleep nobody could hear: the strand gets one short chance to prove that it is alive.
    if (slept && pings) this.state.heardAt = Math.max(heardAt, now - Math.max(0, silentMs - AWAKE_MS))
    else if (now - heardAt > silentMs) return this.#lose(strand)
    if (!pings) return
    this.#pingedAt ??= now
    strand.write(frame(FRAME.ping, 0))
  }
}
