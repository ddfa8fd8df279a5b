// Many connections on one pipe:
//   opener --open "REQUEST"--> acceptor;  acceptor --accept, or refuse "CODE"--> opener;  then data both ways, each within a window.
import { FRAME, MAX_BODY } from './frames.ts'
import { MuxStream } from './mux-stream.ts'
import type { Pipe } from './pipe.ts'

/** What a stream may send unasked, both ways: 1000 readers that stall hold 128 MiB. */
const FIRST_WINDOW = 128 << 10
/** A window grows to this much: 4 MiB are 50 MB/s at 80 ms. */
const MOST_WINDOW = 8 << 20
/** While so many streams want to send, each gets a smaller turn. */
const FEW = 4
const TURN = 16 << 10
/** All windows together, beyond the first: bounds memory when readers stall. Divided by the streams that there are. */
const MOST_GROWTH = 32 << 20

/** Answers a request to connect: `accept` or `refuse`, once. `gone` aborts when nobody waits any more. */
export type Offer = { accept: () => MuxStream; gone: AbortSignal; refuse: (code: string) => void; request: string }

/** A request that was refused, or that nobody can answer any more: `code` is a system error code. */
export class DialError extends Error {
  readonly code: string
  constructor(code: string) {
    super(`Dial failed: ${code}`)
    this.name = 'DialError'
    this.code = code
  }
}

type Asked = { onAccept: (stream: MuxStream) => void; onRefuse: (code: string) => void }

/** Opens and takes streams. Each side may open; numbers tell who did: odd ones are those of the side that opens strands. */
export class Mux {
  readonly pipe: Pipe
  /** Called for each request of the far side. */
  onOffer: (offer: Offer) => void = ({ refuse }) => refuse('EOPNOTSUPP')
  /** Called when the mux is gone for good, after its streams. */
  onClose: (reason: Error) => void = () => {}
  readonly #asked = new Map<number, Asked>()
  readonly #offered = new Map<number, AbortController>()
  readonly #streams = new Map<number, MuxStream>()
  readonly #waiting = new Set<MuxStream>()
  #growth = 0
  #isDraining = false
  #nextId: number

  constructor(pipe: Pipe, side: 'client' | 'server') {
    this.pipe = pipe
    this.#nextId = side === 'client' ? 1 : 2
    pipe.listen({
      onClose: (reason) => this.#end(reason),
      onData: (id, part) => this.#streams.get(id)?.receive(part, part.buffer.byteLength),
      onFrame: (type, id, body) => this.#onFrame(type, id, body),
      onRoom: () => this.#pump(),
    })
  }

  /** Streams that are open just now. */
  get size(): number {
    return this.#streams.size
  }

  /** Whether the far side said that it takes no new streams. */
  get isDraining(): boolean {
    return this.#isDraining
  }

  /**
   * Asks the far side to connect, and waits for its verdict.
   * @param request one line, for the far side's {@link onOffer}
   * @throws DialError with the far side's code; ECONNRESET when the mux is gone; ECONNABORTED when the signal aborts
   */
  open(request: string, signal?: AbortSignal): Promise<MuxStream> {
    return new Promise((resolve, reject) => {
      if (this.pipe.isClosed) return void reject(new DialError('ECONNRESET'))
      if (signal?.aborted) return void reject(new DialError('ECONNABORTED'))
      const id = this.#nextId
      this.#nextId += 2
      const onAbort = (): void => {
        this.#asked.delete(id)
        this.send(FRAME.reset, id)
        reject(new DialError('ECONNABORTED'))
      }
      const settle = (): void => {
        this.#asked.delete(id)
        signal?.removeEventListener('abort', onAbort)
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#asked.set(id, {
        onAccept: (stream) => {
          settle()
          resolve(stream)
        },
        onRefuse: (code) => {
          settle()
          reject(new DialError(code))
        },
      })
      this.send(FRAME.open, id, Buffer.from(request))
    })
  }

  /** Tells the far side to open no more streams here. */
  drain(): void {
    this.send(FRAME.drain, 0)
  }

  /** Ends the mux and its pipe; all streams are resets on both sides. */
  destroy(reason?: Error): void {
    this.pipe.destroy(reason)
  }

  /** For {@link MuxStream}. */
  send(type: number, id: number, body?: Buffer): void {
    this.pipe.send(type, id, body)
  }

  /** For {@link MuxStream}: lets it send when it is its turn; at once where nobody waits. */
  enqueue(stream: MuxStream): void {
    this.#waiting.add(stream)
    this.#pump()
  }

  /** For {@link MuxStream}: how much a window of `size` may grow by; fourfold, so that a far away one is large after three round trips. */
  growWindow(size: number): number {
    const share = Math.min(MOST_WINDOW, Math.floor(MOST_GROWTH / this.#streams.size))
    const more = Math.max(0, Math.min(3 * size, share - size, MOST_GROWTH - this.#growth))
    this.#growth += more
    return more
  }

  /** For {@link MuxStream}. */
  forget(stream: MuxStream, window: number): void {
    this.#streams.delete(stream.id)
    this.#waiting.delete(stream)
    this.#growth -= window - FIRST_WINDOW
  }

  /** One frame each in turn, while there is room: fair to many, and no queue behind a large one. */
  #pump(): void {
    while (this.#waiting.size > 0 && this.pipe.hasRoom) {
      const [stream] = this.#waiting
      this.#waiting.delete(stream!)
      if (stream!.isEager) stream!.sendSome(this.#waiting.size < FEW ? MAX_BODY : TURN)
      if (stream!.isEager) this.#waiting.add(stream!)
    }
  }

  #onFrame(type: number, id: number, body: Buffer): void {
    switch (type) {
      case FRAME.open:
        return this.#onOpen(id, body.toString('utf8'))
      case FRAME.accept:
        return this.#onAccept(id)
      case FRAME.refuse:
        return this.#asked.get(id)?.onRefuse(body.toString('utf8'))
      case FRAME.fin:
        return this.#streams.get(id)?.receiveEnd()
      case FRAME.window:
        return this.#streams.get(id)?.receiveCredit(body.readUInt32BE(0))
      case FRAME.drain:
        this.#isDraining = true
        return
      case FRAME.reset:
        this.#offered.get(id)?.abort()
        this.#streams.get(id)?.receiveReset(new Error('reset by the far side'))
    }
  }

  #onOpen(id: number, request: string): void {
    const gone = new AbortController()
    this.#offered.set(id, gone)
    const settle = (): boolean => this.#offered.delete(id) && !gone.signal.aborted && !this.pipe.isClosed
    this.onOffer({
      accept: () => {
        const stream = this.#make(id)
        if (settle()) this.send(FRAME.accept, id)
        else stream.receiveReset(new Error('reset by the far side'))
        return stream
      },
      gone: gone.signal,
      refuse: (code) => {
        if (settle()) this.send(FRAME.refuse, id, Buffer.from(code))
      },
      request,
    })
  }

  #onAccept(id: number): void {
    const asked = this.#asked.get(id)
    // Given up meanwhile: the reset is on its way.
    if (asked) asked.onAccept(this.#make(id))
  }

  #make(id: number): MuxStream {
    const stream = new MuxStream(this, { credit: FIRST_WINDOW, id, window: FIRST_WINDOW })
    this.#streams.set(id, stream)
    return stream
  }

  #end(reason: Error): void {
    for (const { onRefuse } of this.#asked.values()) onRefuse('ECONNRESET')
    for (const gone of this.#offered.values()) gone.abort()
    for (const stream of this.#streams.values()) stream.receiveReset(reason)
    this.onClose(reason)
  }
}
