import type { Duplex } from 'node:stream'
import { messageOf } from '../base/error.ts'
import { LengthPrefixReader, withLength } from '../base/length-prefix.ts'

type Waiting = { clientId: number; reject: (error: Error) => void; resolve: (answer: Buffer) => void; timer: NodeJS.Timeout }

/** One stream on which any number of queries wait for their answers (RFC 7766 §6.2.1.1), each under an id of its own. */
class Pipeline {
  closed = false
  readonly #stream: Duplex
  readonly #waiting = new Map<number, Waiting>()
  #nextId = Math.floor(Math.random() * 0x10000)

  constructor(stream: Duplex) {
    this.#stream = stream
    const reader = new LengthPrefixReader()
    stream.on('data', (chunk: Buffer) => {
      for (const message of reader.push(chunk)) this.#onAnswer(message)
    })
    const lose = (): void => this.#lose()
    stream.on('error', lose).on('end', lose).on('close', lose).resume()
  }

  exchange(message: Buffer, limitMs: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (this.closed || this.#waiting.size >= 0xf000) return void reject(new Error('The stream to the resolver of the host is closed'))
      do this.#nextId = (this.#nextId + 1) & 0xffff
      while (this.#waiting.has(this.#nextId))
      const id = this.#nextId
      const request = withLength(message)
      request.writeUInt16BE(id, 2)
      const timer = setTimeout(() => {
        this.#waiting.delete(id)
        reject(new Error(`The resolver of the host did not answer within ${limitMs / 1000} s`))
      }, limitMs)
      this.#waiting.set(id, { clientId: message.readUInt16BE(0), reject, resolve, timer })
      this.#stream.write(request)
    })
  }

  destroy(): void {
    this.#stream.destroy()
    this.#lose()
  }

  #onAnswer(message: Buffer): void {
    if (message.length < 12) return
    const id = message.readUInt16BE(0)
    const waiting = this.#waiting.get(id)
    if (!waiting) return
    this.#waiting.delete(id)
    clearTimeout(waiting.timer)
    const answer = Buffer.from(message)
    answer.writeUInt16BE(waiting.clientId, 0)
    waiting.resolve(answer)
  }

  #lose(): void {
    this.closed = true
    this.#stream.destroy()
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer)
      reject(new Error('The stream to the resolver of the host was lost'))
    }
    this.#waiting.clear()
  }
}

/** Asks a resolver over a stream that is opened when it is needed and opened again when it was lost. */
export class StreamExchange {
  readonly #limitMs: () => number
  readonly #open: () => Promise<Duplex>
  #current: Pipeline | undefined
  #opening: Promise<Pipeline> | undefined

  /** @param options `open` makes a stream of length-prefixed messages; `limitMs` bounds one exchange */
  constructor(options: { limitMs?: () => number; open: () => Promise<Duplex> }) {
    this.#limitMs = options.limitMs ?? (() => 4000)
    this.#open = options.open
  }

  /** Sends a query and answers what comes back, under the query's own id. A stream that dies meanwhile is replaced once. */
  async exchange(message: Buffer): Promise<Buffer> {
    const reused = this.#current
    const pipeline = await this.#pipeline()
    try {
      return await pipeline.exchange(message, this.#limitMs())
    } catch (error) {
      if (!pipeline.closed || pipeline !== reused) throw error
      return (await this.#pipeline()).exchange(message, this.#limitMs())
    }
  }

  close(): void {
    this.#current?.destroy()
  }

  #pipeline(): Promise<Pipeline> {
    if (this.#current && !this.#current.closed) return Promise.resolve(this.#current)
    this.#opening ??= this.#open()
      .then(
        (stream) => (this.#current = new Pipeline(stream)),
        (error: unknown) => {
          throw new Error(`No stream to the resolver of the host: ${messageOf(error)}`, { cause: error })
        },
      )
      .finally(() => (this.#opening = undefined))
    return this.#opening
  }
}
