import { create } from '@bufbuild/protobuf'
import { messageOf, TpxError } from '../base/error.ts'
import { httpStatusOf } from '../kube/api-error.ts'
import { addressBytes } from '../wire/connection-id.ts'
import {
  type AgentInfo,
  type AgentInfo_ContainerInfo,
  AgentInfoSnapshotSchema,
  type AgentPodInfo,
  AgentPodInfoSchema,
  AgentPodInfoSnapshotSchema,
  InterceptInfoSnapshotSchema,
  Manager,
} from '../wire/generated/manager_pb.ts'
import { infoForClient, workloadOf } from './attachment.ts'
import type { HandlerFactory, Handlers } from './grpc-handlers.ts'
import type { ManagerPorts } from './manager-ports.ts'
import { requireClient } from './require-session.ts'
import { type AgentSession, type ClientSession, servesWorkload } from './sessions.ts'
import type { State } from './state.ts'
import { WorkloadDeltas } from './workload-delta.ts'

const { method } = Manager

function agentsOfNamespace(state: State, namespace: string): AgentSession[] {
  const agents = state.agents.values().filter(({ info }) => info.namespace === namespace)
  return agents.sort((a, b) => a.info.podName.localeCompare(b.info.podName))
}

/** An agent's information without its workload's environment, which only those get who ask for that workload. */
function withoutEnvironment(info: AgentInfo): AgentInfo {
  const strip = ([name, container]: [string, AgentInfo_ContainerInfo]): [string, AgentInfo_ContainerInfo] => [
    name,
    { ...container, environment: {} },
  ]
  return { ...info, containers: Object.fromEntries(Object.entries(info.containers).map(strip)) }
}

function podInfo(state: State, client: ClientSession, agent: AgentSession): AgentPodInfo {
  const { apiPort, name, namespace, podIp, podName } = agent.info
  return create(AgentPodInfoSchema, {
    apiPort,
    intercepted: state.attachmentsOf(client).some((attachment) => servesWorkload(agent, workloadOf(attachment))),
    namespace,
    podId: agent.identity.podUid,
    podIp: addressBytes(podIp),
    podName,
    workloadName: name,
  })
}

function listError(error: unknown, namespace: string): TpxError {
  return httpStatusOf(error) === 403
    ? new TpxError('KUBERNETES_FORBIDDEN', `The traffic-manager may not list the workloads of namespace "${namespace}"`, {
        hint: 'Check the RBAC of the ServiceAccount "traffic-manager"',
      })
    : new TpxError('KUBERNETES_UNREACHABLE', `The workloads of namespace "${namespace}" cannot be listed: ${messageOf(error)}`)
}

/** Snapshots and deltas for clients; every stream ends with the session. */
export function watchService(ports: ManagerPorts, handle: HandlerFactory): Handlers {
  const { clusterInfo, state } = ports
  const onState = (listener: () => void): (() => void) => state.changes.subscribe(listener)
  return {
    watchAgentPods: handle.watch(method.watchAgentPods, (session) => {
      const client = requireClient(state, session)
      const snapshot = () => {
        const agents = agentsOfNamespace(state, client.info.namespace)
        return create(AgentPodInfoSnapshotSchema, { agents: agents.map((agent) => podInfo(state, client, agent)) })
      }
      return { ended: client.ended, snapshot, subscribe: onState }
    }),

    watchAgents: handle.watch(method.watchAgents, (session) => {
      const client = requireClient(state, session)
      const snapshot = () => {
        const agents = agentsOfNamespace(state, client.info.namespace)
        return create(AgentInfoSnapshotSchema, { agents: agents.map(({ info }) => withoutEnvironment(info)) })
      }
      return { ended: client.ended, snapshot, subscribe: onState }
    }),

    watchIntercepts: handle.watch(method.watchIntercepts, (session) => {
      const client = requireClient(state, session)
      const snapshot = () => {
        const intercepts = state.attachmentsOf(client).map(infoForClient)
        return create(InterceptInfoSnapshotSchema, { intercepts: intercepts.sort((a, b) => a.id.localeCompare(b.id)) })
      }
      return { ended: client.ended, snapshot, subscribe: onState }
    }),

    watchWorkloads: handle.watch(method.watchWorkloads, async ({ namespace, sessionInfo }, { signal }) => {
      const client = requireClient(state, sessionInfo)
      const { release, workloads } = ports.workloads.acquire(namespace || client.info.namespace)
      await workloads.ready
      if (workloads.error !== undefined || signal.aborted) {
        release()
        throw listError(workloads.error, namespace || client.info.namespace)
      }

      const deltas = new WorkloadDeltas(state)
      const subscribe = (listener: () => void): (() => void) => {
        const leave = [workloads.changes.subscribe(listener), onState(listener), release]
        return () => leave.splice(0).forEach((undo) => undo())
      }
      return { ended: client.ended, snapshot: () => deltas.next(workloads.values()), subscribe }
    }),

    watchClusterInfo: handle.watch(method.watchClusterInfo, async (session) => {
      const client = requireClient(state, session)
      await clusterInfo.ready
      const subscribe = (listener: () => void): (() => void) => clusterInfo.changes.subscribe(listener)
      return { ended: client.ended, snapshot: () => clusterInfo.snapshot(), subscribe }
    }),
  }
}
