import { TpxError } from '../base/error.ts'
import type { InterceptSpec } from '../wire/generated/manager_pb.ts'
import type { Attachment } from './attachment.ts'
import type { ClientSession } from './sessions.ts'

/** Protocol of the taken-over port, in capitals; TCP where the client gave none. */
function protocolOf(spec: InterceptSpec): string {
  return spec.protocol.toUpperCase() || 'TCP'
}

function samePort(a: InterceptSpec, b: InterceptSpec): boolean {
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
