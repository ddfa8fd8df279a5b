import { messageOf, TpxError } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import { keepTrying } from '../base/retry.ts'
import { CLIENT_CONFIG_DEFAULTS } from '../wire/client-config.ts'
import type { Attachment, AttachParams, TunnelSnapshot } from '../wire/control.ts'
import { InterceptDispositionType as Disposition, type InterceptInfo } from '../wire/generated/manager_pb.ts'
import type { Carrier } from './carrier.ts'
import type { ClientSettings } from './client-settings.ts'
import { createIntercept, type Engagement, findIntercept, prepare, removeIntercept, waitActive } from './engage.ts'
import { HeldAttachment } from './held-attachment.ts'
import type { Reach } from './inbound-sessions.ts'
import type { ManagerSession } from './manager-session.ts'
import type { Settings } from './settings.ts'

const SHORT_BREAK_MS = 5000
const RESTORE_BACKOFF = { firstMs: 100, mostMs: 5000 }

type Progress = (text: string) => void
type Options = {
  carrier: Carrier
  client: ClientSettings
  graceMs: () => number
  logger: Logger
  manager: ManagerSession
  settings: Settings
}

/** What is waited for, in words. */
function describeReach(workload: string, { connected, error, total, waitingFor }: Reach): string {
  if (total === 0) return `Waiting for a Pod of "${workload}" with a traffic-agent`
  const why = error ? ` (${error})` : ''
  return `Waiting for ${total - connected} of ${total} traffic-agents of "${workload}": ${waitingFor.join(', ')}${why}`
}

/** The attachments of this connection: made, kept over lost sessions, and taken back. */
export class Attachments {
  readonly #held = new Map<string, HeldAttachment>()
  readonly #options: Options
  readonly #removals = new Map<string, Promise<void>>()

  constructor(options: Options) {
    this.#options = options
    const { manager } = options
    manager.onFrozen = () => {
      for (const held of this.#held.values()) held.resetFiles()
    }
    manager.agentPods.onChange((pods) => {
      for (const held of this.#held.values()) held.follow(pods)
    })
    manager.intercepts.onChange((intercepts) => this.#onIntercepts(intercepts))
    manager.state.onChange(({ leg, sessionId }) => {
      if (leg.state !== 'up' || !sessionId) return
      for (const held of this.#held.values()) if (held.kept && held.sessionId !== sessionId) this.#restore(held, sessionId)
    })
  }

  /** @param options `secrets`: whether environments go along */
  list(options: { secrets: boolean }): Attachment[] {
    return [...this.#held.values()].map((held) => held.view(options))
  }

  /** Attachments, and what is waited for until their connections arrive here; undefined when nothing is. */
  reaches(): { detail: string | undefined; name: string }[] {
    return [...this.#held.values()].map((held) => {
      const { name, workload } = held.params
      const reach = held.inbound?.reach.value
      if (held.state !== 'active' || !reach) return { detail: `Waiting for the traffic-agent of "${workload}"`, name }
      return { detail: reach.total > 0 && reach.connected === reach.total ? undefined : describeReach(workload, reach), name }
    })
  }

  /** What a tunnel after this one needs to go on. */
  snapshot(): TunnelSnapshot['attachments'] {
    const kept = [...this.#held.values()].filter((held) => held.kept)
    return kept.map((held) => ({ params: { ...held.params, localPort: held.localPort }, sftpPort: held.sftpPort }))
  }

  /** Takes over what a tunnel before this one held; it is made usable when the session is up. Before {@link ManagerSession.run}. */
  resume(attachments: TunnelSnapshot['attachments']): void {
    for (const { params, sftpPort } of attachments) {
      const held = new HeldAttachment(params, sftpPort)
      held.kept = true
      this.#held.set(params.name, held)
    }
  }

  /**
   * Attaches to a workload; resolves when its connections arrive here.
   * @throws TpxError ATTACHMENT_EXISTS, LOCAL_PORT_TAKEN, AGENT_NOT_READY, AGENT_UNREACHABLE, INTERRUPTED, or the manager's own
   */
  async attach(params: AttachParams, progress: Progress): Promise<Attachment> {
    const { name } = params
    if (this.#held.has(name))
      throw new TpxError('ATTACHMENT_EXISTS', `There is an attachment "${name}" already`, { hint: `tpx leave ${name}` })
    const localPort = params.localPort ?? this.#options.client.value.intercept?.defaultPort ?? null
    const held = new HeldAttachment({ ...params, localPort })
    this.#held.set(name, held)
    try {
      await this.#removals.get(name)
      await this.#engage(held, progress)
      return held.view({ secrets: true })
    } catch (error) {
      await this.#drop(held)
      throw held.sessionId && error instanceof TpxError && error.code === 'ATTACHMENT_EXISTS' ? this.#stillThere(name, error) : error
    }
  }

  /** @returns whether its volumes were to be mounted. @throws TpxError ATTACHMENT_NOT_FOUND */
  async leave(name: string): Promise<boolean> {
    const held = this.#held.get(name)
    if (!held) {
      const names = [...this.#held.keys()].map((known) => `"${known}"`).join(', ')
      throw new TpxError('ATTACHMENT_NOT_FOUND', `There is no attachment "${name}"`, {
        hint: names ? `There are: ${names}` : 'There are none',
      })
    }
    await this.#drop(held)
    return held.params.mount
  }

  async leaveAll(): Promise<void> {
    await Promise.all([...this.#held.values()].map((held) => this.#drop(held)))
  }

  get #attachLimitMs(): number {
    return this.#options.client.value.timeouts?.intercept ?? CLIENT_CONFIG_DEFAULTS.timeouts.intercept
  }

  async #engage(held: HeldAttachment, progress: Progress): Promise<void> {
    const { settings } = this.#options
    const attachLimitMs = this.#attachLimitMs
    const texts = onlyNew(progress)
    const limit = AbortSignal.timeout(attachLimitMs)
    try {
      await this.#establish(held, { report: texts.report, signal: AbortSignal.any([held.ending.signal, limit]) })
      held.kept = true
      held.settled = true
    } catch (error) {
      if (held.ending.signal.aborted) throw new TpxError('INTERRUPTED', `The attachment "${held.params.name}" was left before it was ready`)
      if (!limit.aborted) throw error
      throw new TpxError(
        held.state === 'active' ? 'AGENT_UNREACHABLE' : 'AGENT_NOT_READY',
        `Gave up after ${attachLimitMs / 1000} s: ${texts.last}`,
        {
          cause: error,
          hint: `See what its Pods do: kubectl get pods,events -n ${settings.namespace}`,
        },
      )
    }
  }

  async #establish(held: HeldAttachment, { report, signal }: { report: Progress; signal: AbortSignal }): Promise<void> {
    const { carrier, graceMs, logger, manager, settings } = this.#options
    const { name, workload } = held.params
    await manager.waitShortly(SHORT_BREAK_MS)
    report(`Asking the traffic-manager about "${workload}"`)
    const engagement = await prepare(manager, held.params, { settings, signal })
    this.#checkPort(held, engagement.localPort)
    await held.open(engagement, { carrier, graceMs, logger })
    held.sessionId = manager.state.value.sessionId
    report(`Waiting for the traffic-agent of "${workload}"`)
    const unwatch = manager.intercepts.onChange((intercepts) => {
      const message = intercepts.find(({ spec }) => spec?.name === name)?.message
      if (message && !message.startsWith('Waiting for the traffic-agent'))
        report(`Waiting for the traffic-agent of "${workload}": ${message}`)
    })
    await createIntercept(manager, engagement, { signal }).finally(unwatch)
    held.activate(await waitActive(manager, engagement, { onWaiting: report, signal }))
    held.follow(manager.agentPods.value)
    await held.inbound?.reach.until((reach) => {
      if (reach.total > 0 && reach.connected === reach.total) return true
      report(describeReach(workload, reach))
      return undefined
    }, signal)
  }

  /** After the session was lost: the same attachment in the new one, tried until it works or is left. */
  #restore(held: HeldAttachment, sessionId: string): void {
    const { carrier, graceMs, logger, manager } = this.#options
    held.sessionId = sessionId
    held.settled = false
    held.state = 'waiting'
    const { signal } = held.ending
    const attempt = async (): Promise<boolean> => {
      if (manager.state.value.sessionId !== sessionId) return true
      const engagement = (await findIntercept(manager, held.params)) ?? (await this.#makeAgain(held))
      if (!held.isOpen) await held.open(engagement, { carrier, graceMs, logger })
      held.activate(
        await waitActive(manager, engagement, {
          onWaiting: () => {},
          signal: AbortSignal.any([signal, AbortSignal.timeout(this.#attachLimitMs)]),
        }),
      )
      held.follow(manager.agentPods.value)
      held.settled = true
      logger.info({ attachment: held.params.name }, 'attachment restored in the new session')
      return true
    }
    const onError = (error: unknown): void => {
      held.state = 'error'
      logger.warn({ attachment: held.params.name }, `attachment not restored yet: ${messageOf(error)}`)
    }
    void keepTrying(attempt, { backoff: RESTORE_BACKOFF, onError, signal })
  }

  async #makeAgain(held: HeldAttachment): Promise<Engagement> {
    const { manager, settings } = this.#options
    const { signal } = held.ending
    const engagement = await prepare(manager, { ...held.params, localPort: held.localPort }, { settings, signal })
    await createIntercept(manager, engagement, { signal, streamKey: held.streamKey })
    return engagement
  }

  #onIntercepts(intercepts: readonly InterceptInfo[]): void {
    const { manager } = this.#options
    const byName = new Map(intercepts.map((info) => [info.spec?.name ?? '', info]))
    for (const [name, held] of this.#held) {
      if (!held.settled) continue
      const info = byName.get(name)
      if (info?.disposition === Disposition.ACTIVE) {
        held.activate(info)
        held.follow(manager.agentPods.value)
      } else held.state = info?.disposition === Disposition.WAITING || info?.disposition === Disposition.NO_AGENT ? 'waiting' : 'error'
    }
    // Left while the manager was away, or created by a call whose answer was lost.
    for (const name of byName.keys()) if (!this.#held.has(name)) void this.#remove(name)
  }

  async #drop(held: HeldAttachment): Promise<void> {
    const { name } = held.params
    held.close()
    if (this.#held.get(name) === held) this.#held.delete(name)
    if (held.sessionId) await this.#remove(name)
  }

  /** Removes at the manager; if that cannot be asked, {@link #onIntercepts} sees to it later. */
  #remove(name: string): Promise<void> {
    const running = this.#removals.get(name)
    if (running) return running
    const removal = removeIntercept(this.#options.manager, name)
      .catch((error: unknown) => this.#options.logger.warn({ attachment: name }, `attachment not removed yet: ${messageOf(error)}`))
      .finally(() => this.#removals.delete(name))
    this.#removals.set(name, removal)
    return removal
  }

  #checkPort(held: HeldAttachment, port: number): void {
    const other = [...this.#held.values()].find((one) => one !== held && one.localPort === port)
    if (!other) return
    throw new TpxError('LOCAL_PORT_TAKEN', `Port ${port} gets the connections of the attachment "${other.params.name}" already`, {
      hint: 'Name another port with --port, or use a second connection (--name)',
    })
  }

  #stillThere(name: string, cause: TpxError): TpxError {
    return new TpxError(
      'ATTACHMENT_EXISTS',
      `The traffic-manager still holds an attachment "${name}" of this connection; it is removed now`,
      {
        cause,
        hint: 'Try again',
      },
    )
  }
}

/** Passes each text on once; remembers the last. */
function onlyNew(progress: Progress): { last: string; report: Progress } {
  const texts = {
    last: '',
    report: (text: string): void => {
      if (text === texts.last) return
      texts.last = text
      progress(text)
    },
  }
  return texts
}
