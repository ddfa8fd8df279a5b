import type { Pod } from './kubernetes-objects.ts'
import { WANTED_ANNOTATION } from '../base/annotations.ts'
import { messageOf, TpxError } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import type { RolloutAccess, WorkloadKind, WorkloadRef } from './cluster-access.ts'
import { type AgentSettings, hasAgent, inject } from './inject.ts'
import type { JsonPatchOperation } from './json-patch.ts'
import { ownerOf } from './pod-owner.ts'
import { Rollout, type RolloutTimes } from './rollout.ts'

/** Telepresence's annotation of a Pod template that always wants an agent; its value is "enabled". */
const ENABLED_ANNOTATION = 'telepresence.io/inject-traffic-agent'

/** Times of the injector, milliseconds. */
export type InjectorTimes = RolloutTimes & {
  /** From the call to the agent's arrival. */
  arrivalMs: number
  /** From the arrival until every ready Pod has an agent. */
  settleMs: number
}

const TIMES: InjectorTimes = { arrivalMs: 60_000, failureMs: 1000, pollMs: 200, proxyMs: 1000, settleMs: 15_000, staleMs: 15_000 }

/** What {@link AgentInjector.ensureAgent} waits for. */
export type Arrival = {
  /** Resolves when an agent of the workload has a session with the manager; at once where it has. */
  arrived: (signal: AbortSignal) => Promise<unknown>
  signal: AbortSignal
}

/** Names the workload that shall have agents. */
export type AgentTarget = {
  /** A container port that the agents must relay; without it any agent will do. */
  containerPort?: number | undefined
  kind: WorkloadKind
  namespace: string
  workload: string
}

type Shared = { isDone: boolean; rollout: Rollout; users: number }

/**
 * Sees to it that the Pods of a workload carry a traffic-agent: marks the Pod template, which rolls the workload out, and
 * adds the agent to every marked Pod when the API server creates it. The mark in the template is the want; it stays when
 * the manager restarts, and needs no store of our own.
 */
export class AgentInjector {
  readonly #agent: AgentSettings
  readonly #cluster: RolloutAccess
  readonly #logger: Logger
  readonly #rollouts = new Map<string, Shared>()
  readonly #times: InjectorTimes

  constructor(options: { agent: AgentSettings; cluster: RolloutAccess; logger: Logger; times?: InjectorTimes }) {
    this.#agent = options.agent
    this.#cluster = options.cluster
    this.#logger = options.logger
    this.#times = options.times ?? TIMES
  }

  /**
   * Rolls the workload out unless it has Pods with an agent, and waits until one has arrived and, for 15 s at most, until
   * no ready Pod without agent is left, and a second more for kube-proxy. A failed roll-out is taken back.
   * @throws TpxError AGENT_NOT_READY with the cluster's own words within about 2 s of a fatal state, or after 60 s;
   *   WORKLOAD_NOT_FOUND; KUBERNETES_*; the signal's reason
   */
  async ensureAgent(target: AgentTarget, { arrived, signal }: Arrival): Promise<void> {
    const timer = AbortSignal.timeout(this.#times.arrivalMs)
    const both = AbortSignal.any([signal, timer])
    const key = [target.namespace, target.kind, target.workload, target.containerPort].join('/')
    const shared = this.#join(key, target)
    const { rollout } = shared
    try {
      await rollout.begun
      await Promise.race([arrived(both), rollout.failed, aborted(both)])
      await Promise.race([rollout.settled(this.#times.settleMs, signal), rollout.failed, aborted(signal)])
      shared.isDone = true
    } catch (error) {
      if (signal.aborted || !timer.aborted) throw error
      throw this.#late(target, rollout.lastWarning)
    } finally {
      await this.#leave(key, shared)
    }
  }

  /**
   * For the admission webhook: the patch of a Pod that is being created; empty for Pods that want no agent.
   * @throws TpxError PORT_NOT_SUPPORTED, WORKLOAD_NOT_FOUND, KUBERNETES_*
   */
  async onPod(pod: Pod, namespace: string): Promise<JsonPatchOperation[]> {
    if (!wantsAgent(pod) || hasAgent(pod)) return []
    const [owner, services] = await Promise.all([ownerOf(pod, namespace, this.#cluster), this.#cluster.listServices(namespace)])
    if (!owner) throw new TpxError('WORKLOAD_NOT_FOUND', 'The Pod belongs to no Deployment, StatefulSet or ReplicaSet')
    return inject(pod, { agent: this.#agent, namespace, services, workload: owner.name, workloadKind: owner.kind })
  }

  /** Callers who want the same wait for the same roll-out. */
  #join(key: string, target: AgentTarget): Shared {
    const shared = this.#rollouts.get(key) ?? { isDone: false, rollout: this.#begin(target), users: 0 }
    shared.users++
    this.#rollouts.set(key, shared)
    return shared
  }

  #begin({ containerPort, kind, namespace, workload }: AgentTarget): Rollout {
    const ref: WorkloadRef = { kind, name: workload, namespace }
    return new Rollout({
      canInject: this.#agent.image !== '',
      cluster: this.#cluster,
      logger: this.#logger,
      port: containerPort,
      ref,
      times: this.#times,
    })
  }

  /** The last one to leave takes the roll-out back, unless it brought somebody an agent. */
  async #leave(key: string, shared: Shared): Promise<void> {
    if (--shared.users > 0) return
    this.#rollouts.delete(key)
    await shared.rollout
      .close({ arrived: shared.isDone })
      .catch((error: unknown) => this.#logger.warn({ error: messageOf(error), key }, 'Roll-out not taken back'))
  }

  #late({ kind, namespace, workload }: AgentTarget, warning: string | undefined): TpxError {
    const message = `The traffic-agent of ${kind} "${workload}" did not arrive within ${this.#times.arrivalMs / 1000} s`
    return new TpxError('AGENT_NOT_READY', warning ? `${message}: ${warning}` : message, {
      hint: `See "kubectl -n ${namespace} get pods" and the log of container "traffic-agent"; the roll-out was taken back`,
    })
  }
}

/** Tells whether a Pod (of a marked template) shall have an agent. */
export function wantsAgent({ metadata }: Pod): boolean {
  const annotations = metadata?.annotations ?? {}
  return WANTED_ANNOTATION in annotations || annotations[ENABLED_ANNOTATION] === 'enabled'
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const fail = (): void => reject(signal.reason instanceof Error ? signal.reason : new Error('Aborted'))
    if (signal.aborted) fail()
    else signal.addEventListener('abort', fail, { once: true })
  })
}
