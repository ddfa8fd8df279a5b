// What the gRPC services need of the rest of the program; unit tests hand in fakes.
import type { Logger } from '../base/logger.ts'
import type { ClusterInfo } from '../wire/generated/manager_pb.ts'
import type { Changes } from './changes.ts'
import type { Dialer } from '../outbound/dialer.ts'
import type { NameLookup } from './name-lookup.ts'
import type { State } from './state.ts'
import type { Target, TargetRequest } from './target.ts'
import type { TunnelRelay } from './tunnel-relay.ts'
import type { WorkloadName } from './sessions.ts'
import type { WorkloadRecord } from './workload-watch.ts'

/** Finds ports of workloads and brings agents into their Pods. */
export type Injector = {
  /**
   * Resolves when the workload has an agent (that relays `containerPort`, where given); kind "" means any.
   * Answers the workload with its kind.
   * @throws TpxError WORKLOAD_NOT_FOUND, AGENT_NOT_READY, KUBERNETES_*
   */
  ensureAgent(workload: WorkloadName, options: { containerPort?: number; signal: AbortSignal }): Promise<WorkloadName>
  /** @throws TpxError WORKLOAD_NOT_FOUND, SERVICE_NOT_FOUND, PORT_NOT_FOUND, PORT_NOT_SUPPORTED */
  resolveTarget(request: TargetRequest): Promise<Target>
}

/** The live list of a namespace's workloads. */
export type Workloads = { readonly changes: Changes; readonly error: unknown; readonly ready: Promise<void>; values(): WorkloadRecord[] }

/** Everything that the services share. */
export type ManagerPorts = {
  /** Image of the traffic-agent; empty when there is no injector. */
  agentImage: string
  /** What clients are given as defaults, YAML. */
  clientConfig: { readonly ready: Promise<void>; readonly text: string }
  clusterInfo: { readonly changes: Changes; readonly ready: Promise<void>; snapshot(): ClusterInfo }
  dialer: Dialer
  injector: Injector
  logger: Logger
  /** UID of the manager's namespace: tells installations apart. */
  managerInstallId: string
  names: Pick<NameLookup, 'addresses' | 'lookup'>
  /** False only when the API says that there is no such namespace. */
  namespaceExists(namespace: string): Promise<boolean>
  relay: TunnelRelay
  state: State
  workloads: { acquire(namespace: string): { release: () => void; workloads: Workloads } }
}
