/** Puts the two-byte big-endian length before a message (RFC 1035 §4.2.2; also datagrams of wire/data-stream.ts). */
export function withLength(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(2 + message.byteLength)
  framed.writeUInt16BE(message.byteLength)
  framed.set(message, 2)
  return framed
}

/** Cuts a byte stream into the messages that {@link withLength} framed. */
export class LengthPrefixReader {
  #rest: Buffer = Buffer.alloc(0)

  /** Takes the next bytes and answers the messages that are complete now; they may share the chunk's memory. */
  push(chunk: Buffer): Buffer[] {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const messages: Buffer[] = []
    while (bytes.length >= 2) {
      const end = 2 + bytes.readUInt16BE(0)
      if (bytes.length < end) break
      messages.push(bytes.subarray(2, end))
      bytes = bytes.subarray(end)
    }

    this.#rest = bytes
    return messages
  }
}
