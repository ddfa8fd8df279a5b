import { create, equals } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import {
  InterceptDispositionType as Disposition,
  WorkloadEvent_Type as EventType,
  type WorkloadEvent,
  type WorkloadEventsDelta,
  WorkloadEventsDeltaSchema,
  WorkloadEventSchema,
  WorkloadInfo_AgentState as AgentState,
  WorkloadInfo_InterceptSchema,
  type WorkloadInfo,
  WorkloadInfoSchema,
} from '../wire/generated/manager_pb.ts'
import { workloadOf } from './attachment.ts'
import type { State } from './state.ts'
import type { WorkloadRecord } from './workload-watch.ts'

/** A workload as its namespace's clients see it: with the state of its agent and the names of those who hold an attachment. */
function infoOf(record: WorkloadRecord, state: State): WorkloadInfo {
  const { kind, kindName, name, namespace, uid } = record
  const workload = { kind: kindName, name, namespace }
  const holders = state.attachments().filter((attachment) => {
    const of = workloadOf(attachment)
    return of.name === name && of.namespace === namespace && (!of.kind || of.kind.toLowerCase() === kindName.toLowerCase())
  })
  const active = holders.filter(({ disposition }) => disposition === Disposition.ACTIVE)
  const installed = state.agentsOf(workload).length > 0
  return create(WorkloadInfoSchema, {
    agentState: active.length > 0 ? AgentState.INTERCEPTED : installed ? AgentState.INSTALLED : AgentState.NO_AGENT_UNSPECIFIED,
    interceptClients: active.map(({ client }) => create(WorkloadInfo_InterceptSchema, { client: client.info.name })),
    kind,
    name,
    namespace,
    state: record.state,
    uid,
  })
}

/** Makes the deltas of one watcher: the first tells all workloads, later ones what changed since. */
export class WorkloadDeltas {
  readonly #state: State
  #told: Map<string, WorkloadInfo> | undefined

  constructor(state: State) {
    this.#state = state
  }

  /** Undefined when nothing changed since the last one. */
  next(records: WorkloadRecord[]): WorkloadEventsDelta | undefined {
    const told = this.#told ?? new Map<string, WorkloadInfo>()
    const present = new Map(records.map((record) => [`${record.kindName}/${record.name}`, infoOf(record, this.#state)]))
    const events: WorkloadEvent[] = []
    const add = (type: EventType, workload: WorkloadInfo): void => void events.push(create(WorkloadEventSchema, { type, workload }))
    for (const [key, info] of present) {
      const earlier = told.get(key)
      if (!earlier) add(EventType.ADDED_UNSPECIFIED, info)
      else if (!equals(WorkloadInfoSchema, earlier, info)) add(EventType.MODIFIED, info)
    }

    for (const [key, info] of told) if (!present.has(key)) add(EventType.DELETED, info)
    const isFirst = this.#told === undefined
    this.#told = present
    return isFirst || events.length > 0 ? create(WorkloadEventsDeltaSchema, { events, since: timestampFromMs(Date.now()) }) : undefined
  }
}
