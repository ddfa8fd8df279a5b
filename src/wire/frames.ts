// What travels on a strand (pipe.ts), big-endian:
//   offset  bytes  field
//   0       1      type
//   1       3      length of the body
//   4       4      number of the stream, 0 for frames of the pipe itself
//   8       …      body
// Frames of a stream, and `drain`, are part of the pipe's byte count: they are sent again after a loss, from the very byte
// that the far side has not got. The others belong to one strand and are never repeated.

/** Counted: data, open (a request line), accept (nothing), refuse (a system error code), fin, reset, window (u32 more bytes), drain. */
export const FRAME = {
  data: 0,
  open: 1,
  accept: 2,
  refuse: 3,
  fin: 4,
  reset: 5,
  window: 6,
  drain: 7,
  ack: 16,
  ping: 17,
  pong: 18,
  close: 19,
} as const

export const HEAD_BYTES = 8
/** Longest body of a frame that is not data. */
const MAX_GATHERED = 4096
/** Longest body of any frame: what one read of a socket gives. */
export const MAX_BODY = 65_536

/** Tells whether a frame is part of the pipe's byte count. */
export function isCounted(type: number): boolean {
  return type < FRAME.ack
}

/** The head of a frame whose body has `length` bytes. */
export function frameHead(type: number, id: number, length: number): Buffer {
  const head = Buffer.allocUnsafe(HEAD_BYTES)
  head.writeUInt32BE(type * 0x1000000 + length, 0)
  head.writeUInt32BE(id, 4)
  return head
}

/** A whole frame in one buffer. */
export function frame(type: number, id: number, body: Uint8Array = new Uint8Array()): Buffer {
  return Buffer.concat([frameHead(type, id, body.length), body])
}

/** What a reader finds. Data comes in parts as it arrives; other frames come whole. */
export type FrameEvents = {
  onData: (id: number, part: Buffer) => void
  onFrame: (type: number, id: number, body: Buffer) => void
}

/** Takes bytes apart into frames, and counts. */
export class FrameReader {
  readonly #events: FrameEvents
  #body: Buffer[] = []
  #head: Buffer = Buffer.alloc(0)
  #id = 0
  #left = 0
  #position = 0
  #type = -1

  constructor(events: FrameEvents) {
    this.#events = events
  }

  /** Bytes of counted frames that have been taken in. */
  get position(): number {
    return this.#position
  }

  /** A new strand begins at {@link position}: what was half read of a head, or of a frame that is not counted, is void. */
  restart(): void {
    this.#head = Buffer.alloc(0)
    if (this.#type < 0 || isCounted(this.#type)) return
    this.#type = -1
    this.#left = 0
    this.#body = []
  }

  /** @throws Error when the bytes are no frames */
  push(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#type < 0) {
        at = this.#readHead(chunk, at)
        continue
      }
      const part = chunk.subarray(at, at + this.#left)
      at += part.length
      this.#readBody(part)
    }
  }

  #readHead(chunk: Buffer, at: number): number {
    if (this.#head.length === 0 && chunk.length - at >= HEAD_BYTES) {
      this.#begin(chunk, at)
      return at + HEAD_BYTES
    }
    const end = at + HEAD_BYTES - this.#head.length
    const head = Buffer.concat([this.#head, chunk.subarray(at, end)])
    this.#head = head.length < HEAD_BYTES ? head : Buffer.alloc(0)
    if (head.length === HEAD_BYTES) this.#begin(head, 0)
    return end
  }

  #begin(head: Buffer, at: number): void {
    const word = head.readUInt32BE(at)
    const type = word >>> 24
    this.#left = word & 0xffffff
    this.#id = head.readUInt32BE(at + 4)
    if (this.#left > (type === FRAME.data ? MAX_BODY : MAX_GATHERED)) throw new Error(`Frame of type ${type} with ${this.#left} bytes`)
    this.#type = type
    if (isCounted(type)) this.#position += HEAD_BYTES
    if (this.#left === 0) this.#end()
  }

  #readBody(part: Buffer): void {
    this.#left -= part.length
    if (isCounted(this.#type)) this.#position += part.length
    if (this.#type === FRAME.data) {
      const id = this.#id
      if (this.#left === 0) this.#type = -1
      return this.#events.onData(id, part)
    }
    this.#body.push(part)
    if (this.#left === 0) this.#end()
  }

  #end(): void {
    const body = this.#body.length === 1 ? this.#body[0]! : Buffer.concat(this.#body)
    const type = this.#type
    this.#type = -1
    this.#body = []
    if (type !== FRAME.data) this.#events.onFrame(type, this.#id, body)
  }
}
