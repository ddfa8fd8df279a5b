import type { AgentInfo, ClientInfo } from '../wire/generated/manager_pb.ts'
import type { Session } from './session-registry.ts'

/** A client with a session. `id` is its bearer secret; others see `alias`, and `info.name` as its name. */
export type ClientSession = Session & { readonly alias: string; readonly info: ClientInfo }

/** The Pod behind an agent's token, as the Kubernetes API names it. */
export type PodIdentity = { namespace: string; podName: string; podUid: string }

/** An agent with a session: one Pod of a workload. */
export type AgentSession = Session & { readonly identity: PodIdentity; readonly info: AgentInfo }

/** A workload of one namespace. */
export type WorkloadName = { kind: string; name: string; namespace: string }

/** Tells whether an agent serves a workload; an empty kind on either side matches every kind. */
export function servesWorkload({ info }: AgentSession, workload: WorkloadName): boolean {
  const kinds = info.kind.toLowerCase()
  return (
    info.name === workload.name &&
    info.namespace === workload.namespace &&
    (!kinds || !workload.kind || kinds === workload.kind.toLowerCase())
  )
}
