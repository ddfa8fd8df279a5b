// What travels in the frames of a data stream whose protocol is "icmp" (data-stream.ts), one message per ICMP echo:
//  offset  bytes  field
//   0      1      kind: 0 = echo (request towards the cluster, reply back), 1 = error
//   1      2      sequence number of the echo request, big-endian
//   3      …      kind 0: the echo's data; kind 1: a system error code in ASCII, e.g. EHOSTUNREACH

/** An echo request or reply, or why one was not delivered. */
export type EchoMessage = { data: Uint8Array; kind: 'echo'; sequence: number } | { code: string; kind: 'error'; sequence: number }

const HEADER_BYTES = 3
const KIND = { echo: 0, error: 1 } as const

/** The bytes of a message. */
export function encodeEchoMessage(message: EchoMessage): Buffer {
  const body = message.kind === 'echo' ? message.data : Buffer.from(message.code, 'latin1')
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + body.length)
  bytes.writeUInt8(KIND[message.kind], 0)
  bytes.writeUInt16BE(message.sequence, 1)
  bytes.set(body, HEADER_BYTES)
  return bytes
}

/** Reads a message; undefined for what is none. The data is a view of `bytes`. */
export function parseEchoMessage(bytes: Buffer): EchoMessage | undefined {
  if (bytes.length < HEADER_BYTES) return undefined
  const sequence = bytes.readUInt16BE(1)
  const body = bytes.subarray(HEADER_BYTES)
  if (bytes[0] === KIND.echo) return { data: body, kind: 'echo', sequence }
  return bytes[0] === KIND.error ? { code: body.toString('latin1'), kind: 'error', sequence } : undefined
}
