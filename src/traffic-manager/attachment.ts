import { create } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import {
  type InterceptDispositionType,
  InterceptDispositionType as Disposition,
  type InterceptInfo,
  InterceptInfoSchema,
  type InterceptSpec,
  type ReviewInterceptRequest,
  SessionInfoSchema,
} from '../wire/generated/manager_pb.ts'
import { STREAM_KEY } from '../wire/versions.ts'
import type { AgentSession, ClientSession, WorkloadName } from './sessions.ts'

/** What an agent said about an attachment. */
export type Review = { agent: AgentSession; request: ReviewInterceptRequest }

/** One attachment ("intercept" in Telepresence's protocol) of a client. */
export type Attachment = {
  readonly client: ClientSession
  readonly createdMs: number
  disposition: InterceptDispositionType
  message: string
  modifiedMs: number
  /** Verdicts by agent session id; the first that is ACTIVE serves. */
  readonly reviews: Map<string, Review>
  readonly spec: InterceptSpec
  readonly streamKey: string
}

/** The workload that an attachment is about. */
export function workloadOf({ spec }: Attachment): WorkloadName {
  return { kind: spec.workloadKind, name: spec.agent, namespace: spec.namespace }
}

/** The verdict that gives the attachment its environment, mounts and Pod address. */
export function servingReview(attachment: Attachment): Review | undefined {
  return Array.from(attachment.reviews.values()).find(({ request }) => request.disposition === Disposition.ACTIVE)
}

function info(attachment: Attachment, sessionId: string): InterceptInfo {
  const { client, spec } = attachment
  const base = create(InterceptInfoSchema, {
    clientSession: create(SessionInfoSchema, { sessionId }),
    disposition: attachment.disposition,
    id: `${sessionId}:${spec.name}`,
    message: attachment.message,
    metadata: { [STREAM_KEY]: attachment.streamKey },
    modifiedAt: timestampFromMs(attachment.modifiedMs),
    spec: { ...spec, client: spec.client || client.info.name },
  })
  const review = servingReview(attachment)
  return review
    ? Object.assign(base, servedBy(review, spec.containerName), { metadata: { ...review.request.metadata, ...base.metadata } })
    : base
}

/** What the serving agent tells of its Pod and container; what its verdict lacks is taken from its introduction. */
function servedBy({ agent: { info }, request }: Review, containerName: string): Partial<InterceptInfo> {
  const { environment, mountPoint, mounts } = info.containers[containerName] ?? { environment: {}, mountPoint: '', mounts: {} }
  return {
    apiPort: info.apiPort,
    environment: orElse(request.environment, environment),
    ftpPort: request.ftpPort || info.ftpPort,
    mechanismArgsDesc: request.mechanismArgsDesc,
    mounts: orElse(request.mounts, mounts),
    mountPoint: request.mountPoint || mountPoint,
    podIp: request.podIp || info.podIp,
    podName: info.podName,
    sftpPort: request.sftpPort || info.sftpPort,
  }
}

function orElse<T>(map: Record<string, T>, otherwise: Record<string, T>): Record<string, T> {
  return Object.keys(map).length > 0 ? map : otherwise
}

/** The attachment as its owner sees it: the id holds the owner's own session id. */
export function infoForClient(attachment: Attachment): InterceptInfo {
  return info(attachment, attachment.client.id)
}

/** The attachment as an agent sees it: the client's public alias stands for the session id, and no environment comes along. */
export function infoForAgent(attachment: Attachment): InterceptInfo {
  return Object.assign(info(attachment, attachment.client.alias), { environment: {} })
}
