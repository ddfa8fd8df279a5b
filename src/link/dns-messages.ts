// The little of a DNS message (RFC 1035 §4.1) that a relay must know.

const HEADER = 12

/** Tells whether a message answers a query: same id, and the response bit set. */
export function isResponseTo(query: Buffer, message: Buffer): boolean {
  return message.length >= HEADER && message.readUInt16BE(0) === query.readUInt16BE(0) && (message[2]! & 0x80) !== 0
}

/** TC: there is more than a datagram holds. */
export function isTruncated(message: Buffer): boolean {
  return (message[2]! & 0x02) !== 0
}

/** SERVFAIL, NOTIMP, REFUSED: this server has nothing to say, another may. */
export function isUnhelpful(message: Buffer): boolean {
  return [2, 4, 5].includes(message[3]! & 0x0f)
}

/** A SERVFAIL response that repeats the question; undefined where the query is too short to be one. */
export function serverFailure(query: Buffer): Buffer | undefined {
  if (query.length < HEADER) return undefined
  const end = query.readUInt16BE(4) === 1 ? questionEnd(query) : undefined
  const answer = Buffer.from(query.subarray(0, end ?? HEADER))
  answer[2] = 0x80 | (query[2]! & 0x79) // QR; opcode and RD as asked
  answer[3] = 0x82 // RA, SERVFAIL
  answer.writeUInt16BE(end === undefined ? 0 : 1, 4)
  answer.fill(0, 6, HEADER)
  return answer
}

function questionEnd(query: Buffer): number | undefined {
  let at = HEADER
  while (at < query.length && query[at] !== 0) {
    if (query[at]! > 63) return undefined // a pointer has no business here
    at += query[at]! + 1
  }

  return at + 5 <= query.length ? at + 5 : undefined
}
