// The side that takes strands: "TPX/1 VERB BEARER PIPE POSITION GRACE", answered by "ok POSITION". PIPE is an unguessable name that
// the opener chose, and by itself the right to go on with the pipe; POSITION is how many bytes the speaker has taken in.
import type { Duplex } from 'node:stream'
import { TpxError } from '../base/error.ts'
import { Mux } from './mux.ts'
import { Pipe } from './pipe.ts'
import { formatAcceptance } from './preface.ts'

/** The opener asks for signs of life every 2 s. */
const SILENT_MS = 8000
/** Longest time that a pipe may wait for a strand, whatever the opener wishes. */
const MOST_GRACE_MS = 24 * 3_600_000

/** How a strand introduces itself, after verb and bearer. */
export type StrandWords = { graceMs: number; pipe: string; position: number }

/** @throws TpxError USAGE when the words are not those of a strand */
export function readStrandWords([pipe = '', position = '', grace = '']: string[]): StrandWords {
  if (!/^[0-9a-f]{32}$/.test(pipe) || !/^\d{1,16}$/.test(position) || !/^\d{1,9}$/.test(grace))
    throw new TpxError('USAGE', 'A strand needs the name of its pipe, a position and a time of grace')
  return { graceMs: Math.min(Number(grace), MOST_GRACE_MS), pipe, position: Number(position) }
}

/** The pipes of one program that others open. */
export class PipeHost {
  readonly #muxes = new Map<string, Mux>()

  /**
   * Takes a strand: of a pipe that is there, or the first of a new one.
   * @param make is called with the new mux, before it carries anything; it may throw to refuse
   * @throws TpxError SESSION_LOST when the pipe is gone and cannot go on
   */
  accept(strand: Duplex, { graceMs, pipe, position }: StrandWords, make: (mux: Mux) => void): void {
    const known = this.#muxes.get(pipe)
    if (!known && position > 0) throw new TpxError('SESSION_LOST', 'The pipe is not known here any more')
    const mux = known ?? this.#begin(pipe, graceMs, make)
    strand.write(formatAcceptance(mux.pipe.position))
    mux.pipe.attach(strand, position)
  }

  #begin(pipe: string, graceMs: number, make: (mux: Mux) => void): Mux {
    const mux = new Mux(new Pipe({ graceMs, pings: false, silentMs: SILENT_MS }), 'server')
    try {
      make(mux)
    } catch (error) {
      mux.destroy()
      throw error
    }
    this.#muxes.set(pipe, mux)
    const { onClose } = mux
    mux.onClose = (reason) => {
      this.#muxes.delete(pipe)
      onClose(reason)
    }
    return mux
  }

  /** Ends all pipes. */
  close(): void {
    for (const mux of this.#muxes.values()) mux.destroy(new Error('The program is ending'))
  }
}
