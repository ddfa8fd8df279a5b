import type { AgentPodInfo } from '../wire/generated/manager_pb.ts'
import { Cell } from './cell.ts'
import { type InboundOptions, InboundSession } from './inbound-session.ts'

/** How far the agents of an attachment are reached. */
export type Reach = { connected: number; error: string | null; total: number; waitingFor: string[] }

const idOf = ({ apiPort, podId, podName }: AgentPodInfo): string => `${podName} ${podId} ${apiPort}`

/** One inbound session to every agent of a workload, kept in step with the Pods that there are. */
export class InboundSessions {
  readonly reach = new Cell<Reach>({ connected: 0, error: null, total: 0, waitingFor: [] })
  readonly #options: Omit<InboundOptions, 'key' | 'onChange'>
  readonly #sessions = new Map<string, InboundSession>()
  #key = ''
  #listed = new Set<string>()

  constructor(options: Omit<InboundOptions, 'key' | 'onChange'>) {
    this.#options = options
  }

  /** Pods to which streams can be opened now, those with an inbound session first. */
  get pods(): AgentPodInfo[] {
    const sessions = [...this.#sessions.values()]
    return [...sessions.filter(({ isConnected }) => isConnected), ...sessions.filter(({ isConnected }) => !isConnected)].map(
      ({ pod }) => pod,
    )
  }

  /**
   * @param pods those that the manager knows; one that it does not (yet) know stays as long as it is connected
   * @param key the attachment's stream key; another one replaces every session
   */
  update(pods: readonly AgentPodInfo[], key: string): void {
    if (key !== this.#key) this.close()
    this.#key = key
    this.#listed = new Set(pods.map(idOf))
    for (const pod of pods) {
      const id = idOf(pod)
      if (this.#sessions.has(id)) continue
      this.#sessions.set(id, new InboundSession(pod, { ...this.#options, key, onChange: () => this.#publish() }))
    }
    this.#publish()
  }

  close(): void {
    for (const session of this.#sessions.values()) session.close()
    this.#sessions.clear()
    this.#listed = new Set()
    this.#publish()
  }

  /** A new manager knows no agent at first, so that only who is gone in both ways is gone. */
  #abandonLost(): void {
    for (const [id, session] of this.#sessions) {
      if (session.isConnected || this.#listed.has(id)) continue
      this.#sessions.delete(id)
      session.abandon()
    }
  }

  #publish(): void {
    this.#abandonLost()
    const listed = [...this.#sessions].filter(([id]) => this.#listed.has(id)).map(([, session]) => session)
    const waiting = listed.filter(({ isConnected }) => !isConnected)
    this.reach.set({
      connected: listed.length - waiting.length,
      error: waiting.find(({ error }) => error)?.error ?? null,
      total: listed.length,
      waitingFor: waiting.map(({ pod }) => pod.podName),
    })
  }
}
