import { randomBytes } from 'node:crypto'
import { asTpxError, TpxError } from '../base/error.ts'
import { keepTrying } from '../base/retry.ts'
import type { CarrierTarget } from '../wire/carrier.ts'
import { Mux } from '../wire/mux.ts'
import { Pipe } from '../wire/pipe.ts'
import type { Carrier } from './carrier.ts'
import { Cell } from './cell.ts'
import { openTpx } from './tpx-stream.ts'

const BACKOFF = { firstMs: 50, mostMs: 2000 }
/** A strand that says nothing for so long is replaced; nothing is lost if it was only slow. */
const SILENT_MS = 5000

/** How a pipe is. `mux` stays while its strand is being replaced; `error` tells why there is none just now. */
export type PipeStatus = { error: TpxError | null; isUp: boolean; mux: Mux | null }

/** What a pipe is kept with. */
export type PipeKeeperOptions = {
  carrier: Carrier
  /** How long a lost strand may stay away before everything on the pipe is reset, milliseconds. */
  graceMs: () => number
  /** Called with each new mux, before it carries anything. */
  onMux?: (mux: Mux) => void
  /** Where strands lead, and what opens them: verb and bearer. Asked anew for each; may wait, and throw to give up for now. */
  strand: (signal: AbortSignal) => Promise<{ bearer: string; target: CarrierTarget; verb: string }>
}

/** Opens a pipe, and new strands of it whenever one is lost; a new pipe where the far side has forgotten the one before. */
export class PipeKeeper {
  readonly state = new Cell<PipeStatus>({ error: null, isUp: false, mux: null })
  readonly #options: PipeKeeperOptions
  #name = ''

  constructor(options: PipeKeeperOptions) {
    this.#options = options
  }

  /** Keeps the pipe until the signal aborts, which does not end it: see {@link destroy}. */
  async run(signal: AbortSignal): Promise<void> {
    await keepTrying(() => this.#live(signal), {
      backoff: BACKOFF,
      onError: (error) => this.state.patch({ error: asTpxError(error), isUp: false }),
      signal,
    })
  }

  /** Resets everything on the pipe. {@link run} begins a new one. */
  destroy(reason?: Error): void {
    this.state.value.mux?.destroy(reason)
  }

  /** One strand, from opening to loss. */
  async #live(signal: AbortSignal): Promise<boolean> {
    const { bearer, target, verb } = await this.#options.strand(signal)
    const mux = this.#mux()
    const { pipe } = mux
    const words = [verb, bearer, this.#name, String(pipe.position), String(this.#options.graceMs())] as const
    try {
      const { stream, words: answer } = await openTpx(this.#options.carrier, target, words, signal)
      if (!/^\d+$/.test(answer[0] ?? '')) {
        stream.destroy()
        throw tooOld(target)
      }
      pipe.attach(stream, Number(answer[0]))
    } catch (error) {
      // The far side began anew and has nothing of what was on the pipe: a clean break is all that is left.
      if (error instanceof TpxError && error.code === 'SESSION_LOST') mux.destroy(error)
      throw error
    }
    if (pipe.isUp) this.state.set({ error: null, isUp: true, mux })
    await new Promise<void>((resolve) => {
      const look = (): void => {
        if (pipe.isUp && !signal.aborted) return
        unwatch()
        signal.removeEventListener('abort', look)
        resolve()
      }
      const unwatch = pipe.onStrand(look)
      signal.addEventListener('abort', look)
      look()
    })
    throw new TpxError('CARRIER_FAILED', 'The connection to the far side was lost')
  }

  #mux(): Mux {
    const { mux } = this.state.value
    if (mux && !mux.pipe.isClosed) return mux
    const { graceMs, onMux } = this.#options
    const made = new Mux(new Pipe({ graceMs: graceMs(), pings: true, silentMs: SILENT_MS }), 'client')
    made.onClose = () => {
      if (this.state.value.mux === made) this.state.patch({ isUp: false, mux: null })
    }
    onMux?.(made)
    this.#name = randomBytes(16).toString('hex')
    this.state.patch({ mux: made })
    return made
  }
}

/** The first tpx accepted a stream without a word more, and spoke HTTP/2 on it. */
function tooOld(target: CarrierTarget): TpxError {
  return 'kind' in target && target.kind === 'pod'
    ? new TpxError('AGENT_UNREACHABLE', `The traffic-agent of Pod "${target.name}" is of an earlier version of tpx`, {
        hint: `Have the Pod replaced: kubectl delete pod ${target.name} -n ${target.namespace}`,
      })
    : new TpxError('MANAGER_UNREACHABLE', 'The traffic-manager is of an earlier version of tpx', { hint: 'tpx helm upgrade' })
}
