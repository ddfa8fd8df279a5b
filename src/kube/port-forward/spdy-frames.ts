// SPDY/3.1 frames, as far as a port-forward needs them (https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1).

/** Control frame types, §2.6. */
export const SPDY_TYPE = { synStream: 1, rstStream: 3, ping: 6, goAway: 7 } as const
/** RST_STREAM status, §2.6.3. */
export const SPDY_CANCEL = 5
const FIN = 1
/** Longest data frame that is written: far below the 24 bits of the length field. */
export const MAX_DATA = 1 << 18
/** Longest control frame that is read; peers send some hundred bytes. */
const MAX_CONTROL = 1 << 16

function words(...values: number[]): Buffer {
  const out = Buffer.allocUnsafe(4 * values.length)
  values.forEach((value, i) => out.writeUInt32BE(value >>> 0, 4 * i))
  return out
}

function control(type: number, isFin: boolean, body: Buffer): Buffer {
  return Buffer.concat([words(0x8003_0000 + type, ((isFin ? FIN : 0) << 24) | body.length), body])
}

/** zlib without compression: stored blocks need neither SPDY's dictionary nor a deflate state, and Go's peers take them. */
function stored(bytes: Buffer, isFirst: boolean): Buffer {
  const n = bytes.length
  const block = Buffer.from([0, n & 255, n >> 8, ~n & 255, (~n >> 8) & 255])
  const flush = Buffer.from([0, 0, 0, 255, 255]) // an empty block makes the reader hand out what it has
  return Buffer.concat([Buffer.from(isFirst ? [0x78, 0x01] : []), block, bytes, flush])
}

/** Opens a stream; `isFirst` for the first one of a connection (it begins the zlib stream). `isFin` = this side will not write. */
export function synStream(id: number, headers: Record<string, string>, flags: { isFin: boolean; isFirst: boolean }): Buffer {
  const parts = [words(Object.keys(headers).length)]
  for (const text of Object.entries(headers).flat()) parts.push(words(Buffer.byteLength(text)), Buffer.from(text))
  const block = stored(Buffer.concat(parts), flags.isFirst)
  return control(SPDY_TYPE.synStream, flags.isFin, Buffer.concat([words(id, 0), Buffer.alloc(2), block]))
}

/** Ends a stream at once in both directions. */
export function rstStream(id: number, status: number): Buffer {
  return control(SPDY_TYPE.rstStream, false, words(id, status))
}

/** A sign of life; clients use odd ids, and an answer repeats the id. */
export function ping(id: number): Buffer {
  return control(SPDY_TYPE.ping, false, words(id))
}

/** Head of a data frame of `length` bytes. */
export function dataHead(id: number, length: number, isFin = false): Buffer {
  return words(id, ((isFin ? FIN : 0) << 24) | length)
}

/** What a reader finds. `data` comes in parts, as they arrive. */
export type SpdyEvents = {
  control(frame: { body: Buffer; isFin: boolean; type: number }): void
  data(id: number, part: Buffer): void
  dataEnd(id: number): void
}

/** Takes bytes apart into frames; keeps nothing but the head of an unfinished frame. */
export class SpdyReader {
  readonly #events: SpdyEvents
  #frame = { id: 0, isFin: false }
  #left = 0
  #pending: Buffer = Buffer.alloc(0)

  constructor(events: SpdyEvents) {
    this.#events = events
  }

  /** @throws Error when the bytes are not SPDY */
  push(bytes: Buffer): void {
    let rest = bytes
    while (rest.length) {
      if (this.#left) {
        rest = this.#pushData(rest)
        continue
      }

      const all = this.#pending.length ? Buffer.concat([this.#pending, rest]) : rest
      const used = this.#pushHead(all)
      if (!used) {
        this.#pending = Buffer.from(all)
        return
      }

      this.#pending = Buffer.alloc(0)
      rest = all.subarray(used)
    }
  }

  #pushData(bytes: Buffer): Buffer {
    const part = bytes.subarray(0, this.#left)
    this.#left -= part.length
    this.#events.data(this.#frame.id, part)
    if (!this.#left && this.#frame.isFin) this.#events.dataEnd(this.#frame.id)
    return bytes.subarray(part.length)
  }

  /** Bytes used: a head of a data frame or a whole control frame; 0 when more is needed. */
  #pushHead(all: Buffer): number {
    if (all.length < 8) return 0
    const length = all.readUIntBE(5, 3)
    const isFin = (all[4]! & FIN) !== 0
    if (!(all[0]! & 0x80)) {
      this.#frame = { id: all.readUInt32BE(0), isFin }
      this.#left = length
      if (!length && isFin) this.#events.dataEnd(this.#frame.id)
      return 8
    }

    if (length > MAX_CONTROL) throw new Error(`SPDY control frame of ${length} bytes`)
    if (all.length < 8 + length) return 0
    this.#events.control({ body: all.subarray(8, 8 + length), isFin, type: all.readUInt16BE(2) })
    return 8 + length
  }
}
