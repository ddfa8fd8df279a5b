import { create } from '@bufbuild/protobuf'
import { EmptySchema } from '@bufbuild/protobuf/wkt'
import { status } from '@grpc/grpc-js'
import {
  type AgentInfo,
  InterceptDispositionType as Disposition,
  InterceptInfoSnapshotSchema,
  Manager,
  SessionInfoSchema,
  VersionInfo2Schema,
} from '../wire/generated/manager_pb.ts'
import { ANNOUNCED_VERSION, MANAGER_NAME } from '../wire/versions.ts'
import type { Authenticate } from './agent-authenticator.ts'
import { infoForAgent } from './attachment.ts'
import { type HandlerFactory, type Handlers, StatusError } from './grpc-handlers.ts'
import type { ManagerPorts } from './manager-ports.ts'
import { requireAgent } from './require-session.ts'
import type { AgentSession, PodIdentity, WorkloadName } from './sessions.ts'
import type { State } from './state.ts'
import { serveAgentTunnel } from './tunnel-service.ts'

const { method } = Manager

/** What an agent hears of: the attachments in these states, and for a while those that ended. */
const SHOWN = new Set<number>([Disposition.WAITING, Disposition.ACTIVE, Disposition.AGENT_ERROR])

/** Tells which workload a Pod belongs to, as the API has it; undefined when it cannot be told. */
export type WorkloadOfPod = (pod: PodIdentity) => Promise<WorkloadName | undefined>

/** An agent may only speak for its own Pod and that Pod's workload. */
async function checkIdentity(info: AgentInfo, identity: PodIdentity, workloadOfPod: WorkloadOfPod): Promise<void> {
  const isOwn =
    info.podName === identity.podName && info.namespace === identity.namespace && (!info.podUid || info.podUid === identity.podUid)
  if (!isOwn) throw new StatusError(status.PERMISSION_DENIED, 'The token belongs to another Pod')
  const workload = await workloadOfPod(identity)
  if (!workload || workload.name !== info.name || (info.kind && info.kind.toLowerCase() !== workload.kind.toLowerCase())) {
    throw new StatusError(status.PERMISSION_DENIED, 'The Pod does not belong to that workload')
  }
}

function snapshotFor(state: State, agent: AgentSession) {
  const live = state.attachmentsFor(agent).filter(({ disposition }) => SHOWN.has(disposition))
  const intercepts = [...[...live, ...state.removedFor(agent)].map(infoForAgent), ...state.outbound.forAgent(agent)]
  return create(InterceptInfoSnapshotSchema, { intercepts: intercepts.sort((a, b) => a.id.localeCompare(b.id)) })
}

/** Everything that agents may call, each call with its Pod's token. */
export function agentService(
  ports: ManagerPorts,
  handle: HandlerFactory,
  { authenticate, workloadOfPod }: { authenticate: Authenticate; workloadOfPod: WorkloadOfPod },
): Handlers {
  const { logger, state } = ports
  return {
    version: handle.unary(method.version, () => create(VersionInfo2Schema, { name: MANAGER_NAME, version: ANNOUNCED_VERSION })),

    arriveAsAgent: handle.unary(method.arriveAsAgent, async (info, { metadata }) => {
      const identity = await authenticate(metadata)
      await checkIdentity(info, identity, workloadOfPod)
      const agent = state.arriveAsAgent(info, identity)
      logger.info({ namespace: info.namespace, pod: info.podName, version: info.version, workload: info.name }, 'Agent arrived')
      return create(SessionInfoSchema, { managerInstallId: ports.managerInstallId, sessionId: agent.id })
    }),

    remain: handle.unary(method.remain, async ({ session }, { metadata }) => {
      state.agents.touch(requireAgent(state, session, await authenticate(metadata)))
      return create(EmptySchema)
    }),

    depart: handle.unary(method.depart, async (session, { metadata }) => {
      const agent = requireAgent(state, session, await authenticate(metadata))
      state.agents.remove(agent.id)
      logger.info({ namespace: agent.info.namespace, pod: agent.info.podName }, 'Agent departed')
      return create(EmptySchema)
    }),

    watchIntercepts: handle.watch(method.watchIntercepts, async (session, { metadata }) => {
      const agent = requireAgent(state, session, await authenticate(metadata))
      const subscribe = (listener: () => void): (() => void) => state.changes.subscribe(listener)
      return { ended: agent.ended, snapshot: () => snapshotFor(state, agent), subscribe }
    }),

    reviewIntercept: handle.unary(method.reviewIntercept, async (request, { metadata }) => {
      const agent = requireAgent(state, request.session, await authenticate(metadata))
      state.review(agent, request)
      const { disposition, message } = request
      logger.info({ disposition, message, pod: agent.info.podName, workload: agent.info.name }, 'Agent reviewed an attachment')
      return create(EmptySchema)
    }),

    tunnel: handle.bidi(method.tunnel, async (call) => {
      const identity = await authenticate(call.metadata)
      await serveAgentTunnel(call, ports, (sessionId) => requireAgent(state, { sessionId }, identity))
    }),
  }
}
