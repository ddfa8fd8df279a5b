import type { Logger } from '../base/logger.ts'
import type { AgentPodInfo } from '../wire/generated/manager_pb.ts'
import type { Carrier } from './carrier.ts'
import { Cell } from './cell.ts'
import { InboundSession } from './inbound-session.ts'

/** How far the agents of an attachment are reached. */
export type Reach = { connected: number; error: string | null; total: number; waitingFor: string[] }

const idOf = ({ apiPort, podId, podName }: AgentPodInfo): string => `${podName} ${podId} ${apiPort}`

/** One inbound session to every agent of a workload, kept in step with the Pods that there are. */
export class InboundSessions {
  readonly reach = new Cell<Reach>({ connected: 0, error: null, total: 0, waitingFor: [] })
  readonly #options: { carrier: Carrier; localPort: number; logger: Logger }
  readonly #sessions = new Map<string, InboundSession>()
  #key = ''

  constructor(options: { carrier: Carrier; localPort: number; logger: Logger }) {
    this.#options = options
  }

  /** Pods to which streams can be opened now, those with an inbound session first. */
  get pods(): AgentPodInfo[] {
    const sessions = [...this.#sessions.values()]
    return [...sessions.filter(({ isConnected }) => isConnected), ...sessions.filter(({ isConnected }) => !isConnected)].map(
      ({ pod }) => pod,
    )
  }

  /** @param key the attachment's stream key; another one replaces every session */
  update(pods: readonly AgentPodInfo[], key: string): void {
    const wanted = new Map(pods.map((pod) => [idOf(pod), pod]))
    for (const [id, session] of this.#sessions) {
      if (wanted.has(id) && key === this.#key) continue
      this.#sessions.delete(id)
      session.close()
    }

    this.#key = key
    for (const [id, pod] of wanted)
      if (!this.#sessions.has(id))
        this.#sessions.set(id, new InboundSession(pod, { ...this.#options, key, onChange: () => this.#publish() }))
    this.#publish()
  }

  close(): void {
    this.update([], '')
  }

  #publish(): void {
    const waiting = [...this.#sessions.values()].filter(({ isConnected }) => !isConnected)
    this.reach.set({
      connected: this.#sessions.size - waiting.length,
      error: waiting.find(({ error }) => error)?.error ?? null,
      total: this.#sessions.size,
      waitingFor: waiting.map(({ pod }) => pod.podName),
    })
  }
}
