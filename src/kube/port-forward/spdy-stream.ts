import { Duplex } from 'node:stream'
import { messageOf } from '../../base/error.ts'
import { portForwardLost, portForwardRefused } from './port-forward-error.ts'
import { dataHead, MAX_DATA, ping, rstStream, SPDY_CANCEL, SPDY_TYPE, SpdyReader, synStream } from './spdy-frames.ts'

const ERROR_ID = 1
const DATA_ID = 3
const HIGH_WATER = 1 << 18
/** After the data's end the error stream has this long to tell why. */
const LAST_WORD_MS = 2000
/** Silence after which a sign of life is asked for, and after which the connection counts as lost. */
const PING_MS = 20_000

/** Where the stream leads, for messages. */
export type ForwardTarget = { namespace: string; pod: string; port: number }

/**
 * One forwarded port on a SPDY connection of its own: SPDY has no flow control, so a stalled reader stops everything on
 * its connection. An end of data is held back until the error stream has closed: what that says makes the end an error.
 */
export class SpdyStream extends Duplex {
  readonly #beat: NodeJS.Timeout
  readonly #reader: SpdyReader
  readonly #socket: Duplex
  readonly #target: ForwardTarget
  #dataEnded = false
  #errorEnded = false
  #heard = true
  #lastWord: NodeJS.Timeout | undefined
  #pings = 0
  #report = ''

  /** @param socket the upgraded connection; bytes that came with the upgrade must have been put back into it */
  constructor(socket: Duplex, target: ForwardTarget) {
    super({ allowHalfOpen: true, readableHighWaterMark: HIGH_WATER, writableHighWaterMark: HIGH_WATER })
    this.#socket = socket
    this.#target = target
    this.#reader = new SpdyReader({
      control: ({ body, isFin, type }) => this.#onControl(type, isFin, body),
      data: (id, part) => this.#onData(id, part),
      dataEnd: (id) => this.#onEnd(id),
    })
    this.#beat = setInterval(() => this.#checkLife(), PING_MS)
    this.#beat.unref()
    this.on('error', () => {}) // a failure that nobody waits for must not end the process
    const lose = (cause?: unknown): void => this.#lose(cause)
    socket.on('error', lose).on('end', lose).on('close', lose)
    socket.on('data', (bytes: Buffer) => this.#onBytes(bytes))
    const headers = (streamtype: string): Record<string, string> => ({ port: String(target.port), requestid: '0', streamtype })
    this.#send([
      synStream(ERROR_ID, headers('error'), { isFin: true, isFirst: true }),
      synStream(DATA_ID, headers('data'), { isFin: false, isFirst: false }),
    ])
  }

  override _read(): void {
    this.#socket.resume()
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this._writev([{ chunk }], done)
  }

  /** Joins what is waiting into as few frames as possible, without copying. */
  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    const out: Buffer[] = []
    let parts: Buffer[] = []
    let length = 0
    const flush = (): void => {
      if (length) out.push(dataHead(DATA_ID, length), ...parts)
      parts = []
      length = 0
    }
    for (const { chunk } of chunks) {
      for (let at = 0; at < chunk.length;) {
        const part = chunk.subarray(at, at + MAX_DATA - length)
        parts.push(part)
        at += part.length
        length += part.length
        if (length === MAX_DATA) flush()
      }
    }

    flush()
    this.#send(out, done)
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#send([dataHead(DATA_ID, 0, true)], done)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearInterval(this.#beat)
    clearTimeout(this.#lastWord)
    const isClean = !error && this.writableFinished
    if (isClean) {
      this.#socket.end()
      setTimeout(() => this.#socket.destroy(), LAST_WORD_MS).unref()
      this.#socket.resume()
    } else {
      // Tells the node to let go of the app's connection even where something in between keeps ours.
      if (!this.#socket.destroyed) this.#socket.write(rstStream(DATA_ID, SPDY_CANCEL))
      this.#socket.destroy()
    }

    done(error)
  }

  #send(buffers: Buffer[], done?: (error?: Error | null) => void): void {
    const socket = this.#socket
    if (socket.destroyed) return void this.#lose()
    socket.cork()
    let hasRoom = true
    for (const buffer of buffers) hasRoom = socket.write(buffer)
    socket.uncork()
    if (!done) return
    if (hasRoom) done()
    else socket.once('drain', done)
  }

  #onBytes(bytes: Buffer): void {
    this.#heard = true
    try {
      this.#reader.push(bytes)
    } catch (cause) {
      this.#lose(cause)
    }
  }

  #onData(id: number, part: Buffer): void {
    if (id === ERROR_ID) this.#report = (this.#report + part.toString('utf8')).slice(0, 4096)
    else if (id === DATA_ID && !this.destroyed && !this.#dataEnded && !this.push(part)) this.#socket.pause()
  }

  #onEnd(id: number): void {
    if (id === ERROR_ID) {
      this.#errorEnded = true
      if (this.#report) return void this.destroy(portForwardRefused(this.#target, this.#report))
    } else if (id === DATA_ID) {
      this.#dataEnded = true
      this.#lastWord ??= setTimeout(() => this.#finish(), LAST_WORD_MS).unref()
    }

    if (this.#errorEnded && this.#dataEnded) this.#finish()
  }

  #onControl(type: number, isFin: boolean, body: Buffer): void {
    const id = body.length >= 4 ? body.readUInt32BE(0) & 0x7fff_ffff : 0
    if (type === SPDY_TYPE.ping && !(id & 1)) this.#send([ping(id)])
    else if (type === SPDY_TYPE.rstStream) this.#onReset(id, body.length >= 8 ? body.readUInt32BE(4) : 0)
    else if (type === SPDY_TYPE.goAway) this.#lose(new Error('the node is going away'))
    else if (isFin) this.#onEnd(id)
  }

  #onReset(id: number, status: number): void {
    if (id === ERROR_ID) this.#onEnd(ERROR_ID)
    else if (id === DATA_ID) this.destroy(portForwardRefused(this.#target, this.#report || `stream reset (SPDY status ${status})`))
  }

  #finish(): void {
    clearTimeout(this.#lastWord)
    if (!this.destroyed && !this.readableEnded) this.push(null)
  }

  #lose(cause?: unknown): void {
    if (this.#dataEnded && !this.#report) return this.#finish()
    if (!this.destroyed)
      this.destroy(
        this.#report
          ? portForwardRefused(this.#target, this.#report)
          : portForwardLost(this.#target, messageOf(cause ?? 'connection closed')),
      )
  }

  /** Keeps idle connections alive through load balancers, and finds those that died while the laptop slept. */
  #checkLife(): void {
    if (this.#socket.isPaused()) return
    if (!this.#heard && this.#pings) return this.#lose(new Error(`no answer for ${(2 * PING_MS) / 1000} s`))
    if (this.#heard) this.#pings = 0
    this.#heard = false
    this.#pings += 1
    this.#send([ping(2 * this.#pings - 1)])
  }
}
