// The payload of Telepresence's TunnelMessage: one code byte, then a body (protocol version 2). Durations are nanoseconds.
//   code  name        body
//   0     normal      bytes of the connection; UDP: one datagram
//   1     streamInfo  uvarint version, uvarint round trip, uvarint dial time-out, uvarint length + ConnID, uvarint length + session id
//   2     streamOk    uvarint version
//   3     closeSend   -
//   4, 5  dialOk, dialReject  -
//   6, 7  disconnect, keepAlive  -
//   8     session     session id
import { TpxError } from '../base/error.ts'
import { type ConnectionId, decodeConnectionId, encodeConnectionId } from './connection-id.ts'

/** Version of the tunnel protocol that both sides announce. */
export const TUNNEL_VERSION = 2
/** Peers may receive messages of up to 4 MiB; Telepresence 2.27 sends 512 KiB at most. */
export const MAX_TUNNEL_CHUNK = 512 << 10

/** First message of the side that calls Tunnel. */
export type StreamInfo = {
  connectionId: ConnectionId
  dialTimeoutNs: bigint
  kind: 'streamInfo'
  roundtripLatencyNs: bigint
  sessionId: string
  version: number
}

/**
 * What a payload says. `streamOk` is the first answer to `streamInfo`; `closeSend` ends the data of the side that serves
 * Tunnel (the caller half-closes gRPC instead); `dialOk` and `dialReject` come from the side that dials.
 */
export type TunnelPayload =
  | { data: Uint8Array; kind: 'normal' }
  | StreamInfo
  | { kind: 'streamOk'; version: number }
  | { kind: 'closeSend' | 'dialOk' | 'dialReject' | 'disconnect' | 'keepAlive' }
  | { kind: 'session'; sessionId: string }

const CODES = ['normal', 'streamInfo', 'streamOk', 'closeSend', 'dialOk', 'dialReject', 'disconnect', 'keepAlive', 'session'] as const

function encodeUvarint(value: bigint): Buffer {
  const bytes: number[] = []
  for (; value >= 0x80n; value >>= 7n) bytes.push(Number(value & 0x7fn) | 0x80)
  return Buffer.of(...bytes, Number(value))
}

function withLength(bytes: Uint8Array): Buffer {
  return Buffer.concat([encodeUvarint(BigInt(bytes.length)), bytes])
}

/** Reads a body from its front. */
class BodyReader {
  #rest: Buffer

  constructor(body: Buffer) {
    this.#rest = body
  }

  uvarint(): bigint {
    let value = 0n
    for (let at = 0; at < this.#rest.length && at < 10; at++) {
      const byte = this.#rest[at]!
      value |= BigInt(byte & 0x7f) << BigInt(7 * at)
      if (byte >= 0x80) continue
      this.#rest = this.#rest.subarray(at + 1)
      return value
    }
    throw new TpxError('USAGE', 'Tunnel message is cut short in a number')
  }

  bytes(): Buffer {
    const length = Number(this.uvarint())
    if (length > this.#rest.length) throw new TpxError('USAGE', 'Tunnel message is cut short in a field')
    const bytes = this.#rest.subarray(0, length)
    this.#rest = this.#rest.subarray(length)
    return bytes
  }
}

function encodeStreamInfo(info: StreamInfo): Buffer {
  return Buffer.concat([
    encodeUvarint(BigInt(info.version)),
    encodeUvarint(info.roundtripLatencyNs),
    encodeUvarint(info.dialTimeoutNs),
    withLength(encodeConnectionId(info.connectionId)),
    withLength(Buffer.from(info.sessionId)),
  ])
}

function decodeStreamInfo(body: Buffer): StreamInfo {
  const reader = new BodyReader(body)
  return {
    kind: 'streamInfo',
    version: Number(reader.uvarint()),
    roundtripLatencyNs: reader.uvarint(),
    dialTimeoutNs: reader.uvarint(),
    connectionId: decodeConnectionId(reader.bytes()),
    sessionId: reader.bytes().toString('utf8'),
  }
}

function bodyOf(payload: TunnelPayload): Uint8Array {
  switch (payload.kind) {
    case 'normal':
      return payload.data
    case 'streamInfo':
      return encodeStreamInfo(payload)
    case 'streamOk':
      return encodeUvarint(BigInt(payload.version))
    case 'session':
      return Buffer.from(payload.sessionId)
    case 'closeSend':
    case 'dialOk':
    case 'dialReject':
    case 'disconnect':
    case 'keepAlive':
      return new Uint8Array()
  }
}

/** The bytes of TunnelMessage.payload; never empty, which Telepresence's peers could not bear. */
export function encodeTunnelPayload(payload: TunnelPayload): Buffer {
  return Buffer.concat([Buffer.of(CODES.indexOf(payload.kind)), bodyOf(payload)])
}

/** @throws TpxError USAGE when the payload is empty, of an unknown code, or cut short */
export function decodeTunnelPayload(bytes: Uint8Array): TunnelPayload {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const kind = CODES[view[0] ?? -1]
  const body = view.subarray(1)
  if (kind === undefined) throw new TpxError('USAGE', `Unknown tunnel message: ${view.length} bytes, code ${view[0]}`)
  switch (kind) {
    case 'normal':
      return { kind, data: body }
    case 'streamInfo':
      return decodeStreamInfo(body)
    case 'streamOk':
      return { kind, version: Number(new BodyReader(body).uvarint()) }
    case 'session':
      return { kind, sessionId: body.toString('utf8') }
    case 'closeSend':
    case 'dialOk':
    case 'dialReject':
    case 'disconnect':
    case 'keepAlive':
      return { kind }
  }
}
