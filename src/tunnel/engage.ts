import { create, type MessageInitShape } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import { isErrorCode } from '../base/error-codes.ts'
import { TpxError } from '../base/error.ts'
import type { AttachParams } from '../wire/control.ts'
import {
  CreateInterceptRequestSchema,
  GetInterceptRequestSchema,
  InterceptDispositionType as Disposition,
  type InterceptInfo,
  type InterceptSpecSchema,
  type PreparedIntercept,
  PreparedInterceptSchema,
  RemoveInterceptRequest2Schema,
} from '../wire/generated/manager_pb.ts'
import { grpcStatus } from '../wire/grpc.ts'
import { STREAM_KEY_WISH } from '../wire/versions.ts'
import { callOptions } from './call-options.ts'
import { sessionInfo, within } from './manager-client.ts'
import type { ManagerSession } from './manager-session.ts'
import type { Settings } from './settings.ts'

const CALL_LIMIT_MS = 60_000
const REMOVE_LIMIT_MS = 5000
const NANOSECONDS = 1_000_000_000n

/** What the manager is asked for. */
export type Engagement = { localPort: number; params: AttachParams; prepared: PreparedIntercept; spec: SpecShape }

type SpecShape = MessageInitShape<typeof InterceptSpecSchema>

function specOf(params: AttachParams, settings: Settings): SpecShape {
  return {
    agent: params.workload,
    client: settings.clientName,
    dialTimeout: 3n * NANOSECONDS,
    mechanism: 'tcp',
    name: params.name,
    namespace: settings.namespace,
    portIdentifier: params.portIdentifier ?? '',
    roundtripLatency: 4n * NANOSECONDS,
    serviceName: params.service ?? '',
    targetHost: '127.0.0.1',
    targetPort: params.localPort ?? 0,
  }
}

/** The business error that PrepareIntercept reports inside its answer; our manager adds code and hint to the trailer. */
function checkPrepared(prepared: PreparedIntercept, trailer: grpc.Metadata): void {
  if (!prepared.error) return
  const code = trailer.get('tpx-error-code')[0]
  const hint = trailer.get('tpx-error-hint-bin')[0]
  throw new TpxError(isErrorCode(code) ? code : 'PORT_NOT_SUPPORTED', prepared.error, {
    hint: hint === undefined ? undefined : String(hint),
  })
}

/** Has the manager resolve workload, Service and port; nothing changes in the cluster yet. @throws TpxError the manager's reason */
export async function prepare(
  manager: ManagerSession,
  params: AttachParams,
  options: { settings: Settings; signal: AbortSignal },
): Promise<Engagement> {
  const { settings, signal } = options
  const spec = specOf(params, settings)
  let trailer = new grpc.Metadata()
  const prepared = await manager.call((client, id) =>
    client.prepareIntercept(
      create(CreateInterceptRequestSchema, { interceptSpec: spec, session: sessionInfo(id) }),
      undefined,
      callOptions({ limitMs: CALL_LIMIT_MS, onTrailer: (received) => (trailer = received), signal }),
    ),
  )
  checkPrepared(prepared, trailer)
  const localPort = params.localPort ?? prepared.containerPort
  return {
    localPort,
    params,
    prepared,
    spec: {
      ...spec,
      containerName: prepared.containerName,
      containerPort: prepared.containerPort,
      podPorts: prepared.podPorts,
      protocol: prepared.protocol,
      serviceName: prepared.serviceName,
      servicePort: prepared.servicePort,
      servicePortName: prepared.servicePortName,
      serviceUid: prepared.serviceUid,
      targetPort: localPort,
      workloadKind: prepared.workloadKind,
    },
  }
}

/**
 * Creates the intercept; the manager injects the agent if the workload has none.
 * @param options `streamKey`: the one that it had in an earlier session, or ''
 * @throws TpxError the manager's reason
 */
export async function createIntercept(
  manager: ManagerSession,
  { spec }: Engagement,
  { signal, streamKey = '' }: { signal: AbortSignal; streamKey?: string },
): Promise<void> {
  const metadata = new grpc.Metadata()
  if (streamKey) metadata.set(STREAM_KEY_WISH, streamKey)
  await manager.call((client, id) =>
    client.createIntercept(
      create(CreateInterceptRequestSchema, { interceptSpec: spec, session: sessionInfo(id) }),
      metadata,
      callOptions({ limitMs: CALL_LIMIT_MS, signal }),
    ),
  )
}

/** The intercept of that name that this session holds already: it is taken over instead of made again. null where there is none. */
export async function findIntercept(manager: ManagerSession, params: AttachParams): Promise<Engagement | null> {
  try {
    const { spec } = await manager.call((client, id) =>
      client.getIntercept(
        create(GetInterceptRequestSchema, { name: params.name, session: sessionInfo(id) }),
        undefined,
        within(REMOVE_LIMIT_MS),
      ),
    )
    if (!spec) return null
    const { containerName, containerPort, protocol, serviceName, servicePort, servicePortName, serviceUid, workloadKind } = spec
    const about = { containerName, containerPort, protocol, serviceName, servicePort, servicePortName, serviceUid, workloadKind }
    return { localPort: spec.targetPort, params, prepared: create(PreparedInterceptSchema, about), spec }
  } catch (error) {
    if (grpcStatus(error) === grpc.status.NOT_FOUND) return null
    throw error
  }
}

/** Removes the intercept; one that is gone already is fine. @throws TpxError when the manager cannot be asked */
export async function removeIntercept(manager: ManagerSession, name: string): Promise<void> {
  try {
    await manager.call((client, id) =>
      client.removeIntercept(create(RemoveInterceptRequest2Schema, { name, session: sessionInfo(id) }), undefined, within(REMOVE_LIMIT_MS)),
    )
  } catch (error) {
    if (grpcStatus(error) !== grpc.status.NOT_FOUND) throw error
  }
}

/** Dispositions that time alone may cure; all others but ACTIVE are final. */
const PENDING: ReadonlySet<number> = new Set([Disposition.UNSPECIFIED, Disposition.WAITING, Disposition.NO_AGENT, Disposition.NO_CLIENT])

/**
 * Waits until the intercept of a name is ACTIVE.
 * @param onWaiting is told what is waited for, in words
 * @throws TpxError AGENT_NOT_READY when an agent refuses it; the signal's reason when that aborts
 */
export function waitActive(
  manager: ManagerSession,
  { params: { name, workload } }: Engagement,
  options: { onWaiting: (text: string) => void; signal: AbortSignal },
): Promise<InterceptInfo> {
  return manager.intercepts.until((intercepts) => {
    const found = intercepts.find(({ spec }) => spec?.name === name)
    if (found?.disposition === Disposition.ACTIVE) return found
    if (found && !PENDING.has(found.disposition))
      throw new TpxError('AGENT_NOT_READY', found.message || `The traffic-agent of "${workload}" refused the attachment`)
    options.onWaiting(
      `Waiting for the traffic-agent of "${workload}"${found?.message && !found.message.startsWith('Waiting for the traffic-agent') ? `: ${found.message}` : ''}`,
    )
    return undefined
  }, options.signal)
}
