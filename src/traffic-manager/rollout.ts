import { setTimeout as sleep } from 'node:timers/promises'
import type { Pod } from './kubernetes-objects.ts'
import { WANTED_ANNOTATION } from '../base/annotations.ts'
import { messageOf, TpxError } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import { pollUntil } from '../base/retry.ts'
import type { RolloutAccess, WarningEvent, Workload, WorkloadRef } from './cluster-access.ts'
import { AGENT_CONTAINER } from '../wire/versions.ts'
import { agentConfigOf, hasAgent } from './inject.ts'
import { type JsonPatchOperation, pointer } from './json-patch.ts'
import { failureOf, isAbout, type PodFailure } from './pod-failure.ts'

const ANNOTATION_PATH = pointer('spec', 'template', 'metadata', 'annotations', WANTED_ANNOTATION)

/** Requests that may fail in a row before a roll-out is given up. */
const MAX_ERRORS = 5
/** How long a deleted Pod of a bare ReplicaSet may take to come back before the others are left alone. */
const REPLACE_MS = 120_000

/** Times of a roll-out, milliseconds. */
export type RolloutTimes = {
  /** A failure must be seen for this long: a Pod that cannot be scheduled now may be in a moment. */
  failureMs: number
  pollMs: number
  /** How long kube-proxy may still send connections to Pods that are gone: its minSyncPeriod. */
  proxyMs: number
  /** An agent of a Pod that is ready for this long and did not arrive never will: its CA is out of date, or it hangs. */
  staleMs: number
}

/** Brings Pods with an agent into being, and watches over them until they arrive. One per workload at a time; callers share it. */
export class Rollout {
  /** Resolves once it is known whether Pods with an agent are there, or the roll-out has begun. */
  readonly begun: Promise<void>
  /** Rejects with AGENT_NOT_READY as soon as the agent cannot come; never resolves. */
  readonly failed: Promise<never>
  readonly #abort = new AbortController()
  readonly #canInject: boolean
  readonly #cluster: RolloutAccess
  readonly #logger: Logger
  readonly #port: number | undefined
  readonly #ref: WorkloadRef
  readonly #times: RolloutTimes
  /** Whether the workload served anybody before. */
  #hadReady = false
  #hasArrived = false
  #isTakenBack = false
  #known = new Map<string, number>()
  /** What we wrote into the template's annotation; undefined while Pods with an agent are there already. */
  #marker: string | undefined
  #previous: string | undefined
  #workload: Workload | undefined
  /** The last warning about the workload, for the message of a time-out. */
  #lastWarning: string | undefined

  /** @param options `port`: the container port that the agent must relay, where that matters; `canInject`: false in an installation without webhook */
  constructor(options: {
    canInject: boolean
    cluster: RolloutAccess
    logger: Logger
    port: number | undefined
    ref: WorkloadRef
    times: RolloutTimes
  }) {
    this.#canInject = options.canInject
    this.#cluster = options.cluster
    this.#logger = options.logger
    this.#port = options.port
    this.#ref = options.ref
    this.#times = options.times
    const workload = this.#begin()
    this.begun = workload.then(() => {})
    this.failed = workload.then((found) => this.#watch(found))
    this.begun.catch(() => {})
    this.failed.catch(() => {})
  }

  /** What is known about a delay. */
  get lastWarning(): string | undefined {
    return this.#lastWarning
  }

  /**
   * To be called after an agent arrived: waits until every ready Pod has one and Services lead to these, so that no
   * traffic passes it by.
   * Gives up silently after `limitMs`.
   */
  async settled(limitMs: number, signal: AbortSignal): Promise<void> {
    this.#hasArrived = true
    const end = performance.now() + limitMs
    while (performance.now() < end && !signal.aborted) {
      if (await this.#isSettled().catch(() => false)) {
        if (this.#marker !== undefined) await sleep(this.#times.proxyMs, undefined, { signal }).catch(() => {})
        return
      }

      await sleep(this.#times.pollMs / 2, undefined, { signal }).catch(() => {})
    }

    if (!signal.aborted) this.#logger.warn({ ...this.#ref, limitMs }, 'Some ready Pods of the workload have no traffic-agent yet')
  }

  /** Ends the watch. Where no agent came, the workload is put back as it was: an unchanged template needs no new Pods. */
  async close(options: { arrived: boolean }): Promise<void> {
    this.#abort.abort()
    await this.begun.catch(() => {})
    if (options.arrived || this.#marker === undefined || !this.#workload) return
    this.#isTakenBack = true
    const value = this.#previous
    const restore: JsonPatchOperation =
      value === undefined ? { op: 'remove', path: ANNOTATION_PATH } : { op: 'replace', path: ANNOTATION_PATH, value }
    const isRestored = await this.#cluster.patchWorkload(this.#ref, [{ op: 'test', path: ANNOTATION_PATH, value: this.#marker }, restore])
    this.#logger.info({ ...this.#ref, isRestored }, 'Roll-out taken back')
    // A Deployment scales the new ReplicaSet down; the others keep a Pod that never becomes ready.
    if (this.#ref.kind === 'Deployment') return
    const broken = (await this.#pods(this.#workload)).filter((pod) => this.#isNew(pod) && !isReady(pod))
    await Promise.all(broken.map((pod) => this.#delete(pod)))
  }

  async #begin(): Promise<Workload> {
    const [workload, warnings] = await Promise.all([this.#cluster.findWorkload(this.#ref), this.#cluster.listWarnings(this.#ref.namespace)])
    if (!workload) throw new TpxError('WORKLOAD_NOT_FOUND', `Namespace "${this.#ref.namespace}" has no ${this.#name()}`)
    this.#workload = workload
    this.#known = countsOf(warnings)
    const pods = await this.#pods(workload)
    this.#hadReady = pods.some((pod) => isReady(pod))
    if (pods.some((pod) => this.#serves(pod))) return workload
    refuseIdle(workload, this.#name())
    if (!this.#canInject) {
      throw new TpxError('AGENT_NOT_READY', `${this.#name()} has no traffic-agent, and this traffic-manager adds none`, {
        hint: 'The administrator can install the chart with the injector',
      })
    }

    await this.#trigger(workload)
    return workload
  }

  async #isSettled(): Promise<boolean> {
    const ready = this.#workload ? (await this.#pods(this.#workload)).filter((pod) => isReady(pod)) : []
    return ready.every((pod) => this.#serves(pod)) && (ready.length > 0 || !this.#hadReady)
  }

  async #trigger(workload: Workload): Promise<void> {
    this.#previous = workload.template.metadata?.annotations?.[WANTED_ANNOTATION]
    this.#marker = new Date().toISOString()
    await this.#cluster.setTemplateAnnotation(this.#ref, WANTED_ANNOTATION, this.#marker)
    this.#logger.info({ ...this.#ref, at: this.#marker }, 'Roll-out begun')
    if (!workload.rollsItself) {
      void this.#replacePods(workload).catch((error: unknown) =>
        this.#logger.warn({ ...this.#ref, error: messageOf(error) }, 'Pods not replaced'),
      )
    }
  }

  /** Deletes the Pods without agent one by one, each after the one before it was replaced. Goes on after the first agent arrived. */
  async #replacePods(workload: Workload): Promise<void> {
    for (const old of (await this.#pods(workload)).filter((pod) => !this.#isNew(pod))) {
      if (this.#isTakenBack) return
      await this.#delete(old)
      const isReplaced = async (): Promise<true | undefined> => {
        const serving = (await this.#pods(workload)).filter((pod) => !this.#isNew(pod) || isReady(pod))
        return serving.length >= workload.replicas || this.#isTakenBack ? true : undefined
      }
      if (!(await pollUntil(isReplaced, { everyMs: this.#times.pollMs, timeoutMs: REPLACE_MS }))) return
    }
  }

  async #watch(workload: Workload): Promise<never> {
    const { signal } = this.#abort
    let [failingSince, readySince, errors] = [0, 0, 0]
    for (;;) {
      await sleep(this.#times.pollMs, undefined, { signal })
      const seen = await this.#look(workload).catch((error: unknown) => {
        if (signal.aborted || ++errors >= MAX_ERRORS) throw error
      })
      if (!seen) continue
      errors = 0
      const { failure, isReady } = seen
      failingSince = failure ? failingSince || performance.now() : 0
      if (failure && performance.now() - failingSince >= this.#times.failureMs) throw notReady(this.#name(), failure)
      readySince = isReady ? readySince || performance.now() : 0
      if (this.#marker === undefined && isReady && !this.#hasArrived && performance.now() - readySince > this.#times.staleMs) {
        this.#logger.warn(this.#ref, 'The agents of the workload do not arrive; rolling it out again')
        await this.#trigger(workload)
      }
    }
  }

  async #look(workload: Workload): Promise<{ failure: PodFailure | undefined; isReady: boolean }> {
    const [pods, events] = await Promise.all([this.#pods(workload), this.#cluster.listWarnings(this.#ref.namespace)])
    const fresh = events.filter((event) => event.count > (this.#known.get(event.uid) ?? 0) && isAbout(this.#ref, event))
    // A probe that fails is what a Pod without app shows first, and says nothing about the agent.
    this.#lastWarning = fresh.findLast(({ reason }) => reason !== 'Unhealthy')?.message ?? this.#lastWarning
    const serving = pods.filter((pod) => this.#serves(pod))
    const concerned = this.#marker === undefined ? serving : pods.filter((pod) => this.#isNew(pod))
    // An app that does not start is no obstacle once its agent is there.
    const isUp = this.#hasArrived && serving.some((pod) => isAgentRunning(pod))
    return { failure: isUp ? undefined : failureOf(this.#ref, concerned, fresh), isReady: serving.some((pod) => isReady(pod)) }
  }

  /** Pods that are not on their way out. */
  async #pods(workload: Workload): Promise<Pod[]> {
    const pods = await this.#cluster.listPods(workload.namespace, workload.podSelector)
    return pods.filter(
      ({ metadata, status }) => !metadata?.deletionTimestamp && status?.phase !== 'Failed' && status?.phase !== 'Succeeded',
    )
  }

  #delete({ metadata }: Pod): Promise<void> {
    return this.#cluster.deletePod({ name: metadata?.name ?? '', namespace: this.#ref.namespace, uid: metadata?.uid ?? '' })
  }

  #isNew({ metadata }: Pod): boolean {
    return metadata?.annotations?.[WANTED_ANNOTATION] === this.#marker
  }

  #serves(pod: Pod): boolean {
    if (!hasAgent(pod)) return false
    return this.#port === undefined || relays(pod, this.#port)
  }

  #name(): string {
    return `${this.#ref.kind} "${this.#ref.name}"`
  }
}

/** Tells whether the Pod's agent took over that container port. A Service may have come, or a port may have got its name, since. */
export function relays(pod: Pod, containerPort: number): boolean {
  return (agentConfigOf(pod)?.containers ?? []).some(({ ports }) => ports.some((port) => port.containerPort === containerPort))
}

function isReady({ status }: Pod): boolean {
  return status?.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True') ?? false
}

function isAgentRunning({ status }: Pod): boolean {
  return status?.initContainerStatuses?.some(({ name, state }) => name === AGENT_CONTAINER && state?.running !== undefined) ?? false
}

function refuseIdle({ isPaused, kind, name, namespace, replicas }: Workload, text: string): void {
  if (replicas === 0) {
    throw new TpxError('AGENT_NOT_READY', `${text} has no Pods: it is scaled to 0`, {
      hint: `kubectl -n ${namespace} scale ${kind.toLowerCase()} ${name} --replicas=1`,
    })
  }

  if (!isPaused) return
  throw new TpxError('AGENT_NOT_READY', `${text} cannot be rolled out: it is paused`, {
    hint: `kubectl -n ${namespace} rollout resume deployment ${name}`,
  })
}

function notReady(name: string, { hint, text }: PodFailure): TpxError {
  return new TpxError('AGENT_NOT_READY', `No traffic-agent in ${name}: ${text}`, { hint })
}

function countsOf(events: readonly WarningEvent[]): Map<string, number> {
  return new Map(events.map(({ count, uid }) => [uid, count]))
}
