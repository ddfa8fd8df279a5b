import { TpxError } from '../base/error.ts'
import { CLIENT_PRODUCT } from '../wire/versions.ts'
import type { InterceptSpec } from '../wire/generated/manager_pb.ts'
import type { Attachment } from './attachment.ts'
import type { ClientSession } from './sessions.ts'

/** Protocol of the taken-over port, in capitals; TCP where the client gave none. */
function protocolOf(spec: InterceptSpec): string {
  return spec.protocol.toUpperCase() || 'TCP'
}

/** tpx's clients call Remain every 5 s: one that missed two is gone for its own developer, one that missed six for everybody. */
const GONE_FOR_OWNER_MS = 11_000
const GONE_FOR_ALL_MS = 31_000

/**
 * Tells whether the holder of a port is so silent that `client` may have the port: a developer whose laptop or tunnel
 * crashed need not wait until the old session expires. Telepresence's clients are silent for a minute at a time.
 */
export function isAbandoned(holder: ClientSession, client: ClientSession, nowMs: number): boolean {
  if (holder === client || holder.info.product !== CLIENT_PRODUCT) return false
  const isOwn = holder.info.installId === client.info.installId
  return nowMs - holder.lastSeenMs > (isOwn ? GONE_FOR_OWNER_MS : GONE_FOR_ALL_MS)
}

/** Tells whether two attachments want the same port of the same workload. */
export function samePort(a: InterceptSpec, b: InterceptSpec): boolean {
  return (
    a.namespace === b.namespace &&
    a.agent === b.agent &&
    (!a.workloadKind || !b.workloadKind || a.workloadKind === b.workloadKind) &&
    a.containerPort === b.containerPort &&
    protocolOf(a) === protocolOf(b)
  )
}

/**
 * Refuses an attachment that would take what another has.
 * @throws TpxError ATTACHMENT_EXISTS when the client has one of that name, PORT_CONFLICT when the port is held
 */
export function checkConflict(attachments: Attachment[], client: ClientSession, spec: InterceptSpec): void {
  if (attachments.some((other) => other.client === client && other.spec.name === spec.name)) {
    throw new TpxError('ATTACHMENT_EXISTS', `An attachment named "${spec.name}" exists already`, {
      hint: `Choose another name, or give it back first: tpx leave ${spec.name}`,
    })
  }

  const holder = attachments.find((other) => samePort(other.spec, spec))
  if (!holder) return
  const since = new Date(holder.createdMs).toISOString()
  const port = `${spec.containerPort}/${protocolOf(spec)} of ${spec.workloadKind || 'workload'} "${spec.agent}"`
  throw new TpxError('PORT_CONFLICT', `Port ${port} is held by "${holder.client.info.name}" as "${holder.spec.name}" since ${since}`, {
    hint:
      holder.client === client
        ? `Give it back first: tpx leave ${holder.spec.name}`
        : `Ask ${holder.client.info.name} to run: tpx leave ${holder.spec.name}`,
  })
}
