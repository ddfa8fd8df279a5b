import type { Duplex } from 'node:stream'
import type { IpPacket } from '../netstack/ip-packet.ts'
import type { TcpSegment } from '../netstack/tcp-segment.ts'
import type { Destination } from './dialer.ts'

/** An app that is gone does not accept: how long the far side's connection waits for it. */
export const ADMISSION_TIMEOUT_MS = 5000
/** An app that waits repeats its SYN after 1, 3, 7, 15, … seconds (tcp(7) tcp_syn_retries; some kernels repeat more often). */
export const REPEAT_SLACK_MS = 3000

/** What an attempt begins with. `request` must be a copy of its own. */
export type AttemptOptions = {
  destination: Destination
  key: string
  request: IpPacket
  segment: TcpSegment
  source: Destination
  /** Called when the app no longer waits. */
  onGivenUp: (attempt: Attempt) => void
}

/** An app's wish to connect, from its SYN until the accepted socket is there or the wish is turned down. */
export class Attempt {
  readonly destination: Destination
  readonly key: string
  readonly request: IpPacket
  readonly segment: TcpSegment
  readonly source: Destination
  readonly #abort = new AbortController()
  readonly #begunMs = performance.now()
  readonly #onGivenUp: (attempt: Attempt) => void
  #onEnded: (() => void) | undefined
  #state: 'admitted' | 'connected' | 'ended' | 'waiting' = 'waiting'
  #stream: Duplex | undefined
  #timer: NodeJS.Timeout

  constructor({ destination, key, onGivenUp, request, segment, source }: AttemptOptions) {
    this.destination = destination
    this.key = key
    this.request = request
    this.segment = segment
    this.source = source
    this.#onGivenUp = onGivenUp
    this.#timer = this.#giveUpAfter(repeatDueMs(0))
  }

  /** The initial sequence number: tells a repeated SYN from a new one on the same ports. */
  get sequence(): number {
    return this.segment.sequenceNumber
  }

  /** Aborts when the attempt ends without a connection; never afterwards, for the stream may still listen to it. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** True from the good verdict on until the attempt ends. */
  get isAdmitted(): boolean {
    return this.#state === 'admitted'
  }

  /** The app repeated its SYN: it still waits. */
  seen(): void {
    if (this.#state !== 'waiting') return
    clearTimeout(this.#timer)
    const ageMs = performance.now() - this.#begunMs
    this.#timer = this.#giveUpAfter(repeatDueMs(ageMs) - ageMs)
  }

  /**
   * Waits for the app's socket from now on, and keeps the far side's stream until then.
   * @param stream undefined when the far side has reset already
   * @returns false when the attempt has ended meanwhile
   */
  admit(stream?: Duplex): boolean {
    if (this.#state !== 'waiting') {
      if (stream) discard(stream)
      return false
    }

    clearTimeout(this.#timer)
    this.#state = 'admitted'
    this.#stream = stream?.on('error', this.#loseStream).on('close', this.#loseStream)
    this.#timer = this.#giveUpAfter(ADMISSION_TIMEOUT_MS)
    return true
  }

  /** Ends the attempt with a connection: hands the stream over; undefined when it was lost. */
  take(): Duplex | undefined {
    const stream = this.#release()
    if (stream) this.#end('connected')
    return stream
  }

  /** Has `callback` called when the attempt ends, at once if it has. */
  onEnded(callback: () => void): void {
    if (this.#isOver) callback()
    else this.#onEnded = callback
  }

  /** Stops waiting; a stream that was not taken is reset. */
  end(): void {
    if (this.#isOver) return
    const stream = this.#release()
    this.#end('ended')
    if (stream) discard(stream)
    this.#abort.abort()
  }

  get #isOver(): boolean {
    return this.#state === 'connected' || this.#state === 'ended'
  }

  // The SYN is written back already, so the app is going to be connected: the accepted socket is reset then.
  readonly #loseStream = (): void => {
    this.#release()
  }

  #release(): Duplex | undefined {
    const stream = this.#stream
    this.#stream = undefined
    return stream?.off('error', this.#loseStream).off('close', this.#loseStream)
  }

  #end(state: 'connected' | 'ended'): void {
    clearTimeout(this.#timer)
    this.#state = state
    this.#onEnded?.()
  }

  #giveUpAfter(ms: number): NodeJS.Timeout {
    return setTimeout(() => this.#onGivenUp(this), ms).unref()
  }
}

/** When the next repetition of a SYN is overdue, in ms since the first, if the last came at `ageMs`: the wait doubles each time. */
export function repeatDueMs(ageMs: number): number {
  return 2 * ageMs + 1000 + REPEAT_SLACK_MS
}

function discard(stream: Duplex): void {
  stream.on('error', () => {}).destroy(new Error('reset'))
}
