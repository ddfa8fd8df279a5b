/** One's complement sum of 16-bit words, not yet folded; an odd last byte counts as the high one. @see RFC 1071 §1 */
export function sumWords(bytes: Uint8Array, sum = 0): number {
  const { length } = bytes
  const view = new DataView(bytes.buffer, bytes.byteOffset, length)
  const even = length & ~1
  for (let at = 0; at < even; at += 2) sum += view.getUint16(at)
  return length > even ? sum + (view.getUint8(even) << 8) : sum
}

/** Folds the carries in and inverts: the value of a checksum field. @see RFC 1071 §1 */
export function foldSum(sum: number): number {
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000)
  return ~sum & 0xffff
}
