import type { TpxError } from '../base/error.ts'
import { Cell } from './cell.ts'
import type { DataSession } from './data-session.ts'
import type { ManagerSession } from './manager-session.ts'

/** Tells whether everything that apps need is in place, and what is not. */
export class Readiness {
  /** Counts changes of anything that is looked at. */
  readonly #changes = new Cell(0)
  readonly #data: DataSession
  #dnsListens = false
  readonly #manager: ManagerSession
  #agents: { error(): TpxError | null; missing(): string | undefined } | undefined
  #refusal: TpxError | null = null
  #routesSet = false

  constructor({ data, manager }: { data: DataSession; manager: ManagerSession }) {
    this.#data = data
    this.#manager = manager
    manager.state.onChange(() => this.#touch())
    data.state.onChange(() => this.#touch())
  }

  dnsListens(): void {
    this.#dnsListens = true
    this.#touch()
  }

  routesSet(): void {
    this.#routesSet = true
    this.#refusal = null
    this.#touch()
  }

  /** Routes cannot be set, for a reason that waiting does not mend. */
  routesRefused(refusal: TpxError): void {
    this.#refusal = refusal
    this.#touch()
  }

  /** The workloads whose agents dial for some subnet. */
  needsAgents(agents: { error(): TpxError | null; missing(): string | undefined; onChange(listener: () => void): void }): void {
    this.#agents = agents
    agents.onChange(() => this.#touch())
  }

  /** What is waited for, in words; undefined when nothing is. */
  missing(): string | undefined {
    const { cluster, error, leg } = this.#manager.state.value
    if (leg.state !== 'up') return error ? error.message : 'Waiting for the traffic-manager'
    if (!cluster) return 'Waiting for the subnets of the cluster'
    const missing = this.missingHere()
    if (missing) return missing
    if (!this.#data.state.value.isUp) return this.#data.state.value.error?.message ?? 'Opening the data stream'
    return undefined
  }

  /** What of this namespace is not in place yet: routes, the DNS server. */
  missingHere(): string | undefined {
    if (!this.#routesSet) return this.#refusal?.message ?? 'Setting the routes'
    const agents = this.#agents?.missing()
    if (agents !== undefined) return agents
    return this.#dnsListens ? undefined : 'Starting the DNS server'
  }

  lastError(): TpxError | null {
    return this.#manager.state.value.error ?? this.#data.state.value.error ?? this.#agents?.error() ?? null
  }

  /**
   * Waits until nothing is missing.
   * @param options `isFinal`: errors after which waiting is in vain; those of before the call do not count
   * @throws TpxError such an error, or the signal's reason
   */
  async wait(signal: AbortSignal, options: { isFinal: (error: TpxError) => boolean; progress: (text: string) => void }): Promise<void> {
    const before = this.lastError()
    let last = ''
    await this.#changes.until(() => {
      const missing = this.missing()
      if (missing === undefined) return true
      const error = this.lastError()
      if (error && error !== before && options.isFinal(error)) throw error
      if (this.#refusal && !this.#routesSet) throw this.#refusal
      const agentError = this.#agents?.error()
      if (agentError && options.isFinal(agentError)) throw agentError
      if (missing !== last) options.progress(missing)
      last = missing
      return undefined
    }, signal)
  }

  #touch(): void {
    this.#changes.set(this.#changes.value + 1)
  }
}
