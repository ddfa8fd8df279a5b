// What the tunnel and the link say to each other on a carrier stream:
//   tunnel --one line, the target--> link;  link --one line of JSON, the answer--> tunnel;  then bytes both ways.
import { TpxError, type ErrorRecord, fromRecord } from '../base/error.ts'

/**
 * Where a carrier stream leads. `control` carries JSON lines (control.ts); `dns` carries DNS messages with a two-byte length
 * (RFC 1035 §4.2.2) to the host's resolver; `dial` is the answer to the control call of the same name, and carries what a process
 * of the host wants to be dialed (dial-session.ts).
 */
export type CarrierTarget =
  | { kind: 'pod' | 'svc'; name: string; namespace: string; port: number }
  | { kind: 'control' }
  | { id: string; kind: 'dial' }
  | { kind: 'dns' }

/** The answer to a target line. */
export type CarrierAnswer = { ok: true } | { error: ErrorRecord }

/** `NAME.NAMESPACE.pod:PORT`, `NAME.NAMESPACE.svc:PORT`, `control`, `dial ID` or `dns`, with the line feed. */
export function formatTarget(target: CarrierTarget): string {
  if (target.kind === 'dial') return `dial ${target.id}\n`
  return 'name' in target ? `${target.name}.${target.namespace}.${target.kind}:${target.port}\n` : `${target.kind}\n`
}

/** @throws TpxError CARRIER_FAILED when the line is no target. A Pod's name may hold dots, a namespace may not. */
export function parseTarget(line: string): CarrierTarget {
  if (line === 'control' || line === 'dns') return { kind: line }
  const [, id] = /^dial ([0-9a-f]{32})$/.exec(line) ?? []
  if (id) return { id, kind: 'dial' }
  const [, name, namespace, kind, port] = /^([a-z0-9.-]+)\.([a-z0-9-]+)\.(pod|svc):(\d{1,5})$/.exec(line) ?? []
  if (!name || !namespace || !port) throw new TpxError('CARRIER_FAILED', `Not a carrier target: "${line}"`)
  return { kind: kind as 'pod' | 'svc', name, namespace, port: Number(port) }
}

/** One line of JSON. */
export function formatAnswer(answer: CarrierAnswer): string {
  return `${JSON.stringify(answer)}\n`
}

/** @throws the TpxError that the link answered with */
export function checkAnswer(line: string): void {
  const answer = JSON.parse(line) as CarrierAnswer
  if ('error' in answer) throw fromRecord(answer.error)
}

/** In the tunnel container: the directory of the carrier's sockets. On the unix carrier it is the host's, bind-mounted. */
export const CARRIER_DIR = '/run/tpx'
/** unix carrier: the link listens here, the tunnel dials. */
export const LINK_SOCKET = 'link.sock'
/** exec carrier: the tunnel listens here; each `docker exec` of a bridge (`socat STDIO UNIX-CONNECT:…`) connects once and waits to be taken. */
export const SPARE_SOCKET = 'spare.sock'
/**
 * On the host, in the connection's runtime directory (0600): each connection is joined with a stream of the tunnel. The link
 * writes one line, an answer as on a carrier stream; then bytes both ways (dial-session.ts).
 */
export const DIAL_SOCKET = 'dial.sock'
