import { StateClock } from '../base/state-clock.ts'
import { asTpxError, TpxError } from '../base/error.ts'
import type { StatusLeg } from '../wire/control.ts'

/** How long a question about the leg waits for the API server, so that a status is there at once. */
const PATIENCE_MS = 600
/** An answer that is younger is believed. */
const FRESH_MS = 2000
/** So long a slow API server counts as up after its last answer. */
const TRUST_MS = 3000

/** What can be asked of the API server. */
export type ApiMonitorOptions = {
  /** One small request. @throws TpxError */
  probe: () => Promise<void>
  server: string
}

/** Tells how the way to the Kubernetes API is: asked when somebody wants to know, never by itself. */
export class ApiMonitor {
  readonly #clock = new StateClock()
  readonly #options: ApiMonitorOptions
  #error: TpxError | null = null
  #finishedAt = -Infinity
  #provenAt = -Infinity
  #roundTripMs: number | undefined
  #running: { since: number; work: Promise<void> } | undefined

  constructor(options: ApiMonitorOptions) {
    this.#options = options
  }

  /** Answers within {@link PATIENCE_MS}; never rejects. */
  async leg(): Promise<StatusLeg> {
    if (performance.now() - this.#finishedAt > FRESH_MS) {
      this.#running ??= this.#start()
      await Promise.race([this.#running.work, new Promise((resolve) => setTimeout(resolve, PATIENCE_MS))])
    }
    const leg = this.#describe()
    const proven = Number.isFinite(this.#provenAt) ? { lastProvenMs: Math.round(performance.now() - this.#provenAt) } : {}
    return { name: 'api', ...leg, ...proven, since: this.#clock.since('api', leg.state) }
  }

  #describe(): Omit<StatusLeg, 'name'> {
    const { server } = this.#options
    const now = performance.now()
    if (this.#running && now - this.#provenAt > TRUST_MS)
      return {
        detail: `The Kubernetes API at "${server}" has not answered for ${((now - this.#running.since) / 1000).toFixed(1)} s`,
        next: 'Is the VPN up?',
        state: this.#error ? 'down' : 'connecting',
      }
    if (!this.#error) return { state: 'up', ...(this.#roundTripMs === undefined ? {} : { roundTripMs: this.#roundTripMs }) }
    const { code, hint, message } = this.#error
    const isRefused = code === 'KUBERNETES_UNAUTHORIZED' || code === 'CREDENTIAL_PLUGIN_FAILED'
    return {
      detail: isRefused ? `The credentials are no longer accepted: ${message}` : message,
      state: 'down',
      ...(hint ? { next: hint } : {}),
    }
  }

  #start(): { since: number; work: Promise<void> } {
    const since = performance.now()
    const work = this.#options
      .probe()
      .then(() => {
        this.#error = null
        this.#provenAt = performance.now()
        this.#roundTripMs = Math.round((this.#provenAt - since) * 10) / 10
      })
      .catch((error: unknown) => {
        this.#error = asTpxError(error)
      })
      .finally(() => {
        this.#finishedAt = performance.now()
        this.#running = undefined
      })
    return { since, work }
  }
}
