import { create } from '@bufbuild/protobuf'
import type { Workload } from '../wire/control.ts'
import {
  type WorkloadEvent,
  WorkloadEvent_Type as EventType,
  WorkloadEventsRequestSchema,
  type WorkloadInfo,
  WorkloadInfo_AgentState as AgentState,
  WorkloadInfo_Kind as Kind,
  WorkloadInfo_State as State,
} from '../wire/generated/manager_pb.ts'
import { Cell } from './cell.ts'
import { asManagerError, sessionInfo } from './manager-client.ts'
import type { ManagerSession } from './manager-session.ts'
import { watchStream } from './watch-stream.ts'

const FIRST_LIMIT_MS = 10_000
/** A watch that nobody asks is closed after this, milliseconds. */
const IDLE_MS = 60_000

const KINDS: Readonly<Record<number, string>> = {
  [Kind.DEPLOYMENT]: 'Deployment',
  [Kind.REPLICASET]: 'ReplicaSet',
  [Kind.ROLLOUT]: 'Rollout',
  [Kind.STATEFULSET]: 'StatefulSet',
}
const AGENTS: Readonly<Record<number, Workload['agent']>> = { [AgentState.INSTALLED]: 'installed', [AgentState.INTERCEPTED]: 'intercepted' }
const STATES: Readonly<Record<number, Workload['state']>> = {
  [State.AVAILABLE]: 'available',
  [State.FAILURE]: 'failure',
  [State.PROGRESSING]: 'progressing',
}

function toRow(info: WorkloadInfo): Workload {
  return {
    agent: AGENTS[info.agentState] ?? 'none',
    clients: info.interceptClients.map(({ client }) => client),
    kind: KINDS[info.kind] ?? 'unknown',
    name: info.name,
    namespace: info.namespace,
    state: STATES[info.state] ?? 'unknown',
  }
}

type Known = ReadonlyMap<string, WorkloadInfo>

function applyEvents(known: Known, events: readonly WorkloadEvent[]): Known {
  const next = new Map(known)
  for (const { type, workload } of events) {
    if (!workload) continue
    const key = `${workload.kind} ${workload.namespace} ${workload.name}`
    if (type === EventType.DELETED) next.delete(key)
    else next.set(key, workload)
  }
  return next
}

/** A watch of one namespace: open while it is used, fresh as long as it is open. */
class NamespaceWatch {
  readonly known = new Cell<{ error: unknown; workloads: Known | null }>({ error: null, workloads: null })
  readonly #ending = new AbortController()
  #timer: NodeJS.Timeout | undefined

  constructor(manager: ManagerSession, namespace: string) {
    const { signal } = this.#ending
    manager
      .call(async (client, id) => {
        const call = client.watchWorkloads(create(WorkloadEventsRequestSchema, { namespace, sessionInfo: sessionInfo(id) }))
        await watchStream(call, signal, ({ events }) =>
          this.known.set({ error: null, workloads: applyEvents(this.known.value.workloads ?? new Map(), events) }),
        )
      })
      .catch((error: unknown) => {
        this.close()
        this.known.set({ error, workloads: null })
      })
    this.keep()
  }

  get isOpen(): boolean {
    return !this.#ending.signal.aborted
  }

  /** Puts the closing off. */
  keep(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.close(), IDLE_MS).unref()
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#ending.abort()
  }
}

/** The workloads of namespaces, watched from the first question on. */
export class WorkloadList {
  readonly #manager: ManagerSession
  readonly #watches = new Map<string, NamespaceWatch>()

  constructor(manager: ManagerSession) {
    this.#manager = manager
  }

  /** Sorted by name. @throws TpxError MANAGER_UNREACHABLE, or the manager's own */
  async list(namespace: string): Promise<Workload[]> {
    let watch = this.#watches.get(namespace)
    if (!watch?.isOpen) {
      watch = new NamespaceWatch(this.#manager, namespace)
      this.#watches.set(namespace, watch)
    }
    watch.keep()
    const workloads = await watch.known
      .until(({ error, workloads }) => {
        if (error) throw asManagerError(error)
        return workloads ?? undefined
      }, AbortSignal.timeout(FIRST_LIMIT_MS))
      .catch((error: unknown) => {
        throw asManagerError(error)
      })
    return [...workloads.values()].map(toRow).sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  }

  close(): void {
    for (const watch of this.#watches.values()) watch.close()
  }
}
