// Pure: what the manager's list of intercepts means to this Pod.
import { OUTBOUND_MECHANISM, STREAM_KEY } from '../wire/versions.ts'
import type { AgentContainer, AgentMount } from '../wire/agent-config.ts'
import { type InterceptInfo, InterceptDispositionType as Disposition, type ReviewInterceptRequest } from '../wire/generated/manager_pb.ts'
import type { Attachment } from './attachment-table.ts'
import { containerEnvironment } from './container-environment.ts'
import type { Settings } from './settings.ts'

/** How mounts are shown to clients (ContainerInfo.mounts): 0 Remote, 1 RemoteReadOnly. */
const REMOTE = 0
const REMOTE_READ_ONLY = 1

/** The verdict on an intercept that waits for one. */
export type Review = Pick<ReviewInterceptRequest, 'disposition' | 'id'> &
  Partial<Pick<ReviewInterceptRequest, 'environment' | 'mechanismArgsDesc' | 'message' | 'mountPoint' | 'mounts' | 'podIp' | 'sftpPort'>>

/** What a snapshot comes to. */
export type Understanding = { attachments: Attachment[]; removed: Set<string>; waiting: InterceptInfo[] }

/** Sorts the intercepts of our workload: in force, removed, waiting for a verdict. */
export function understand(intercepts: readonly InterceptInfo[], settings: Settings): Understanding {
  const { namespace, workload } = settings.config
  const ours = intercepts.filter(({ spec }) => spec?.agent === workload && spec.namespace === namespace)
  const inForce = ours.filter(({ disposition }) => disposition === Disposition.WAITING || disposition === Disposition.ACTIVE)
  return {
    attachments: inForce
      .filter((intercept) => (isOutbound(intercept) ? keyOf(intercept) !== '' : refusalOf(intercept, settings) === undefined))
      .map((intercept) => attachmentOf(intercept, settings)),
    removed: new Set(ours.filter(({ disposition }) => disposition === Disposition.REMOVED).map((intercept) => keyOf(intercept))),
    waiting: inForce.filter(({ disposition }) => disposition === Disposition.WAITING),
  }
}

/** The verdict: ACTIVE with environment and mounts, or AGENT_ERROR with the reason. */
export function review(intercept: InterceptInfo, settings: Settings): Review {
  const { id } = intercept
  const message = refusalOf(intercept, settings)
  const container = containerOf(intercept, settings)
  if (message !== undefined || !container) return { disposition: Disposition.AGENT_ERROR, id, message: message ?? '' }
  return {
    disposition: Disposition.ACTIVE,
    environment: containerEnvironment(container, settings.environment, settings.config.containers),
    id,
    mechanismArgsDesc: 'all TCP connections',
    mountPoint: '/',
    mounts: mountPolicies(container.mounts),
    podIp: settings.podIp,
    sftpPort: settings.config.apiPort,
  }
}

/** Mounts as path -> policy. */
export function mountPolicies(mounts: readonly AgentMount[]): Record<string, number> {
  return Object.fromEntries(mounts.map(({ path, readOnly }) => [path, readOnly ? REMOTE_READ_ONLY : REMOTE]))
}

function refusalOf(intercept: InterceptInfo, settings: Settings): string | undefined {
  const { spec } = intercept
  if (!spec) return 'The intercept has no specification'
  if (spec.wiretap || Object.keys(spec.headerFilters).length > 0 || spec.pathFilters.length > 0)
    return 'The traffic-agent of this version takes over whole TCP ports only: no wiretap, no HTTP filters'
  if (keyOf(intercept) === '') return 'The traffic-manager gave no stream key for the intercept'
  if (containerOf(intercept, settings)) return undefined
  const where = spec.containerName ? `container "${spec.containerName}"` : 'the Pod'
  return `Port ${spec.containerPort} of ${where} is not relayed by the traffic-agent in Pod "${settings.podName}"`
}

function containerOf({ spec }: InterceptInfo, { config }: Settings): AgentContainer | undefined {
  return config.containers.find(
    ({ name, ports }) =>
      (!spec?.containerName || spec.containerName === name) && ports.some(({ containerPort }) => containerPort === spec?.containerPort),
  )
}

function isOutbound({ spec }: InterceptInfo): boolean {
  return spec?.mechanism === OUTBOUND_MECHANISM
}

function keyOf({ metadata }: InterceptInfo): string {
  return metadata[STREAM_KEY] ?? ''
}

function attachmentOf(intercept: InterceptInfo, settings: Settings): Attachment {
  const { spec } = intercept
  const isForDialing = isOutbound(intercept)
  return {
    container: isForDialing ? '' : (containerOf(intercept, settings)?.name ?? ''),
    containerPort: isForDialing ? 0 : (spec?.containerPort ?? 0),
    id: intercept.id,
    key: keyOf(intercept),
    kind: isForDialing ? 'outbound' : 'intercept',
    targetHost: spec?.targetHost || '127.0.0.1',
    targetPort: spec?.targetPort || (spec?.containerPort ?? 0),
  }
}
