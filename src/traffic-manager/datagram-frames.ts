// UDP on a byte stream: each datagram behind its length (two bytes, big-endian), as RFC 1035 §4.2.2 has it for DNS.

/** A datagram with its length in front. */
export function encodeDatagram(datagram: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(2 + datagram.length)
  frame.writeUInt16BE(datagram.length)
  frame.set(datagram, 2)
  return frame
}

/** Cuts a byte stream into datagrams again. */
export class DatagramDecoder {
  #rest: Buffer = Buffer.alloc(0)

  /** Answers the datagrams that are complete with this chunk. */
  push(chunk: Buffer): Buffer[] {
    let rest = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk
    const datagrams: Buffer[] = []
    while (rest.length >= 2) {
      const end = 2 + rest.readUInt16BE()
      if (rest.length < end) break
      datagrams.push(rest.subarray(2, end))
      rest = rest.subarray(end)
    }

    this.#rest = rest
    return datagrams
  }
}
