import { create } from '@bufbuild/protobuf'
import { EmptySchema } from '@bufbuild/protobuf/wkt'
import { TpxError } from '../base/error.ts'
import {
  AgentInfoSnapshotSchema,
  type InterceptInfo,
  type InterceptSpec,
  Manager,
  type PreparedIntercept,
  PreparedInterceptSchema,
} from '../wire/generated/manager_pb.ts'
import { toStatus } from '../wire/grpc.ts'
import { OUTBOUND_KEY_METADATA, STREAM_KEY_WISH } from '../wire/versions.ts'
import { type Attachment, infoForClient, workloadOf } from './attachment.ts'
import type { CallContext, HandlerFactory, Handlers } from './grpc-handlers.ts'
import type { ManagerPorts } from './manager-ports.ts'
import { requireClient } from './require-session.ts'
import type { ClientSession } from './sessions.ts'
import type { Target } from './target.ts'

const { method } = Manager
/** PreparedIntercept.error_category of what the user can mend. */
const CATEGORY_USER = 1

/** What a spec may ask for that the announced version does not promise; taking it as a plain intercept would divert too much. */
function checkFeatures(spec: InterceptSpec): void {
  const asked: [string, boolean][] = [
    ['replace', spec.replace],
    ['wiretap', spec.wiretap],
    ['HTTP filters', Object.keys(spec.headerFilters).length > 0 || spec.pathFilters.length > 0],
    ['several ports', spec.podPorts.length > 1],
    [`mechanism "${spec.mechanism}"`, spec.mechanism !== 'tcp'],
  ]
  const unknown = asked.filter(([, isAsked]) => isAsked).map(([feature]) => feature)
  if (unknown.length === 0) return
  throw new TpxError('USAGE', `This traffic-manager does not know ${unknown.join(', ')}`, { hint: 'Attach one TCP port without filters' })
}

/** @throws TpxError USAGE */
function checkSpec(spec: InterceptSpec | undefined): InterceptSpec {
  for (const field of ['name', 'agent', 'namespace', 'mechanism'] as const) {
    if (!spec?.[field]) throw new TpxError('USAGE', `The intercept's spec lacks "${field}"`)
  }
  return spec!
}

async function resolve({ injector }: ManagerPorts, spec: InterceptSpec): Promise<Target> {
  return injector.resolveTarget({
    namespace: spec.namespace,
    portIdentifier: spec.portIdentifier,
    service: spec.serviceName,
    workload: spec.agent,
    workloadKind: spec.workloadKind,
  })
}

/** The spec with what a client that did not ask PrepareIntercept left open. */
async function completeSpec(ports: ManagerPorts, spec: InterceptSpec): Promise<InterceptSpec> {
  if (spec.containerPort > 0 && spec.workloadKind) return spec
  const target = await resolve(ports, spec)
  const { containerName, containerPort, protocol, serviceName, servicePort, servicePortName, serviceUid, workloadKind } = target
  return { ...spec, containerName, containerPort, protocol, serviceName, servicePort, servicePortName, serviceUid, workloadKind }
}

async function prepare(ports: ManagerPorts, client: ClientSession, spec: InterceptSpec): Promise<PreparedIntercept> {
  checkFeatures(spec)
  const target = await resolve(ports, spec)
  const { containerName, containerPort, protocol, serviceName, servicePort, servicePortName, serviceUid, workloadKind } = target
  ports.state.checkConflict(client, { ...spec, containerPort, protocol, workloadKind })
  return create(PreparedInterceptSchema, {
    agentImage: ports.agentImage,
    containerName,
    containerPort,
    namespace: spec.namespace,
    protocol,
    serviceName,
    servicePort,
    servicePortName,
    serviceUid,
    workloadKind,
  })
}

/** Errors of the user's making are part of the answer; their code and hint ride in the trailer of the OK status. */
async function prepareInBand(
  ports: ManagerPorts,
  call: { client: ClientSession; context: CallContext; spec: InterceptSpec },
): Promise<PreparedIntercept> {
  try {
    return await prepare(ports, call.client, call.spec)
  } catch (error) {
    if (!(error instanceof TpxError)) throw error
    const { metadata } = toStatus(error)
    if (metadata) call.context.trailer.merge(metadata)
    return create(PreparedInterceptSchema, { error: error.message, errorCategory: CATEGORY_USER, namespace: call.spec.namespace })
  }
}

/** Takes the port, and brings the agent into the workload; gives the port back when that fails or the caller gives up. */
async function attach(
  ports: ManagerPorts,
  call: { client: ClientSession; context: CallContext; spec: InterceptSpec },
): Promise<InterceptInfo> {
  const { client, context } = call
  checkFeatures(call.spec)
  const spec = await completeSpec(ports, call.spec)
  const attachment = ports.state.attach(client, spec, String(context.metadata.get(STREAM_KEY_WISH)[0] ?? ''))
  const about = {
    attachment: spec.name,
    client: client.info.name,
    namespace: spec.namespace,
    port: spec.containerPort,
    workload: spec.agent,
  }
  const signal = AbortSignal.any([context.signal, client.ended])
  try {
    await ports.injector.ensureAgent(workloadOf(attachment), { containerPort: spec.containerPort, signal })
    signal.throwIfAborted()
  } catch (error) {
    ports.state.detach(attachment)
    ports.logger.info({ ...about, error: error instanceof Error ? error.message : error }, 'Attachment failed')
    if (client.ended.aborted) throw new TpxError('SESSION_LOST', 'Client session ended while the traffic-agent was awaited')
    throw context.signal.aborted ? new TpxError('INTERRUPTED', 'The client gave up while the traffic-agent was awaited') : error
  }

  ports.logger.info(about, 'Attachment created')
  return infoForClient(attachment)
}

/** @throws TpxError ATTACHMENT_NOT_FOUND */
function requireAttachment({ state }: ManagerPorts, client: ClientSession, name: string): Attachment {
  const found = state.find(client, name)
  if (!found) throw new TpxError('ATTACHMENT_NOT_FOUND', `There is no attachment named "${name}"`)
  return found
}

/** Clients' attachments: resolve, take, look at and give back. */
export function attachmentService(ports: ManagerPorts, handle: HandlerFactory): Handlers {
  const { logger, state } = ports
  return {
    prepareIntercept: handle.unary(method.prepareIntercept, ({ interceptSpec, session }, context) => {
      const client = requireClient(state, session)
      return prepareInBand(ports, { client, context, spec: checkSpec(interceptSpec) })
    }),

    createIntercept: handle.unary(method.createIntercept, ({ interceptSpec, session }, context) => {
      const client = requireClient(state, session)
      return attach(ports, { client, context, spec: checkSpec(interceptSpec) })
    }),

    removeIntercept: handle.unary(method.removeIntercept, ({ name, session }) => {
      const client = requireClient(state, session)
      state.detach(requireAttachment(ports, client, name))
      logger.info({ attachment: name, client: client.info.name }, 'Attachment removed')
      return create(EmptySchema)
    }),

    getIntercept: handle.unary(method.getIntercept, ({ name, session }) =>
      infoForClient(requireAttachment(ports, requireClient(state, session), name)),
    ),

    ensureAgent: handle.unary(method.ensureAgent, async ({ name, session }, context) => {
      const client = requireClient(state, session)
      const wanted = { kind: '', name, namespace: client.info.namespace }
      const signal = AbortSignal.any([context.signal, client.ended])
      const workload = await ports.injector.ensureAgent(wanted, { signal })
      signal.throwIfAborted()
      const [key] = context.metadata.get(OUTBOUND_KEY_METADATA)
      if (key !== undefined) {
        state.outbound.grant(client, workload, String(key))
        context.trailer.set(OUTBOUND_KEY_METADATA, 'taken')
      }
      return create(AgentInfoSnapshotSchema, { agents: state.agentsOf(workload).map(({ info }) => info) })
    }),
  }
}
