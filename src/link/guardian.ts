import type Docker from 'dockerode'
import { messageOf } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import { backoffMs } from '../base/retry.ts'
import type { Ownership } from '../wire/control.ts'
import { findOrphans } from './orphans.ts'
import { type ContainerChange, watchContainers } from './container-watch.ts'
import { removeContainer, takeBack, tellTunnel } from './take-back.ts'
import type { TunnelControl } from './tunnel-control.ts'

const RESTART_BACKOFF = { firstMs: 100, mostMs: 10_000 }
/** A tunnel that ran this long restarts at once again. */
const STEADY_MS = 60_000
/** Whoever owns something tells a new link within this time. */
const REPORT_MS = 15_000

/** What the guardian works with. */
export type GuardianParts = {
  connection: string
  control: TunnelControl
  docker: () => Promise<Docker>
  holderContainer: string
  logger: Logger
  /** Ends the link. */
  quit: () => void
  /** How long owners have to report after the start, milliseconds; for tests. */
  reportMs?: number
  /** Called when the tunnel container runs. */
  tunnelRuns: (docker: Docker) => void
  tunnelContainer: string
}

/**
 * Looks after what must not be left behind: takes back what a process owned when it is gone, restarts the tunnel
 * container, and ends the connection when its holder is gone.
 */
export class Guardian {
  readonly #owners = new Map<object, Ownership>()
  readonly #parts: GuardianParts
  #holderSeen = false
  #isQuitting = false
  #restarts = 0
  #restartAt: number | null = null
  #restartTimer: NodeJS.Timeout | undefined
  #runsSince = 0
  #tunnelState: ContainerChange['state'] | undefined

  constructor(parts: GuardianParts) {
    this.#parts = parts
  }

  /** Whether the holder container has ever been seen. */
  get holderSeen(): boolean {
    return this.#holderSeen
  }

  /** How the tunnel container is: undefined before it was seen. `restartInMs`: it is started again then. */
  get tunnel(): { restartInMs: number | null; state: ContainerChange['state'] | undefined } {
    const restartInMs = this.#restartAt === null ? null : Math.max(0, this.#restartAt - performance.now())
    return { restartInMs, state: this.#tunnelState }
  }

  /** Replaces what this owner owned so far. */
  own(owner: object, ownership: Ownership): void {
    this.#owners.set(owner, ownership)
  }

  disown(owner: object): void {
    this.#owners.delete(owner)
  }

  /** The connection is being ended by somebody: a dying tunnel is no accident any more. */
  quitting(): void {
    this.#isQuitting = true
    clearTimeout(this.#restartTimer)
  }

  /** The owner is gone: takes back what it still owned. */
  async release(owner: object): Promise<void> {
    const ownership = this.#owners.get(owner)
    if (!ownership) return
    this.#owners.delete(owner)
    this.#parts.logger.warn({ ...ownership }, 'owner is gone; taking back')
    const [heir] = this.#owners.values()
    const isEnd = ownership.quit && !heir
    // Somebody else still uses the connection: the end is theirs then.
    if (ownership.quit && heir) heir.quit = true
    if (isEnd) this.quitting()
    await takeBack(ownership, { ...this.#parts, docker: await this.#parts.docker() })
    if (isEnd) await this.#endConnection()
  }

  /** Watches both containers until the signal aborts. */
  async watch(signal: AbortSignal): Promise<void> {
    const { holderContainer: holder, logger, tunnelContainer: tunnel } = this.#parts
    const docker = await this.#parts.docker()
    const onError = (error: unknown): void => logger.warn({ reason: messageOf(error) }, 'cannot watch the containers')
    const onChange = (change: ContainerChange): void => {
      logger.debug(change, 'container')
      if (change.container === 'holder') this.#onHolder(change.state)
      else this.#onTunnel(change.state, docker)
    }
    const reclaim = setTimeout(() => void this.#reclaim(docker).catch(onError), this.#parts.reportMs ?? REPORT_MS)
    signal.addEventListener('abort', () => clearTimeout(reclaim))
    await watchContainers({ docker, holder, onChange, onError, signal, tunnel })
    clearTimeout(this.#restartTimer)
  }

  /** After the death of the link before: takes back what nobody has claimed. */
  async #reclaim(docker: Docker): Promise<void> {
    const owners = new Set([...this.#owners.values()].map(({ owner }) => owner))
    for (const ownership of await findOrphans(docker, this.#parts.connection, (owner) => owners.has(owner))) {
      const ghost = {}
      this.own(ghost, ownership)
      await this.release(ghost)
    }
  }

  #onHolder(state: ContainerChange['state']): void {
    if (state === 'running') this.#holderSeen = true
    else if (this.#holderSeen && !this.#isQuitting) {
      this.quitting()
      this.#parts.logger.warn({ state }, 'the holder is gone; ending the connection')
      void this.#releaseAll().then(() => this.#endConnection())
    }
  }

  #onTunnel(state: ContainerChange['state'], docker: Docker): void {
    const { logger, tunnelContainer, tunnelRuns } = this.#parts
    this.#tunnelState = state
    this.#restartAt = null
    if (state === 'running') {
      this.#runsSince = performance.now()
      tunnelRuns(docker)
    }

    if (state !== 'dead' || this.#isQuitting) return
    if (this.#runsSince && performance.now() - this.#runsSince > STEADY_MS) this.#restarts = 0
    const waitMs = this.#restarts ? backoffMs(RESTART_BACKOFF, this.#restarts) : 0
    this.#restarts += 1
    logger.warn({ waitMs: Math.round(waitMs) }, 'the tunnel container died; restarting it')
    clearTimeout(this.#restartTimer)
    this.#restartAt = performance.now() + waitMs
    this.#restartTimer = setTimeout(() => {
      docker
        .getContainer(tunnelContainer)
        .start()
        .catch((error: unknown) => logger.warn({ reason: messageOf(error) }, 'the tunnel container does not start'))
    }, waitMs)
  }

  async #releaseAll(): Promise<void> {
    await Promise.all([...this.#owners.keys()].map((owner) => this.release(owner)))
  }

  async #endConnection(): Promise<void> {
    const { control, docker, holderContainer, logger, quit, tunnelContainer } = this.#parts
    await tellTunnel(control, 'quit', {}, logger)
    const engine = await docker()
    await removeContainer(engine, tunnelContainer, logger)
    await removeContainer(engine, holderContainer, logger)
    quit()
  }
}
