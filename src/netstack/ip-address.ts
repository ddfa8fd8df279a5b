/** An address as it is on the wire: 4 bytes for IPv4, 16 for IPv6. */
export type IpAddress = Uint8Array

/** Text of an address: dotted quad, or RFC 5952 §4 (as the kernel and Node write it, except for IPv4-mapped addresses). */
export function formatAddress(address: IpAddress): string {
  if (address.length === 4) return address.join('.')
  const view = new DataView(address.buffer, address.byteOffset, 16)
  const groups = Array.from({ length: 8 }, (_, index) => view.getUint16(index * 2).toString(16))
  const { start, length } = longestZeroRun(groups)
  if (length < 2) return groups.join(':')
  return `${groups.slice(0, start).join(':')}::${groups.slice(start + length).join(':')}`
}

// RFC 5952 §4.2.3: the longest run is shortened, the first of equal ones.
function longestZeroRun(groups: string[]): { length: number; start: number } {
  let best = { length: 0, start: 0 }
  for (let start = 0; start < groups.length; start++) {
    let length = 0
    while (groups[start + length] === '0') length++
    if (length > best.length) best = { length, start }
  }

  return best
}

/** Bytes of an address in text, without zone or brackets; undefined when it is none. */
export function parseAddress(text: string): IpAddress | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text)
}

function parseIpv4(text: string): IpAddress | undefined {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256)) return undefined
  return Uint8Array.from(parts, Number)
}

function parseIpv6(text: string): IpAddress | undefined {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text)
  if (dotted?.[1] && dotted[2]) {
    const quad = parseIpv4(dotted[2])
    return quad && parseIpv6(`${dotted[1]}${toGroup(quad.subarray(0, 2))}:${toGroup(quad.subarray(2))}`)
  }

  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const [head = [], tail = []] = halves.map((half) => (half === '' ? [] : half.split(':')))
  const missing = 8 - head.length - tail.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined
  const groups = [...head, ...Array.from({ length: missing }, () => '0'), ...tail]
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined
  return Uint8Array.from(groups.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]))
}

function toGroup(pair: Uint8Array): string {
  return new DataView(pair.buffer, pair.byteOffset, 2).getUint16(0).toString(16)
}

/**
 * A unicast address that a connection can lead to: neither multicast, broadcast nor unspecified. The reserved block 240.0.0.0/4 counts:
 * Linux routes it, and virtual addresses are taken from it. @see RFC 1122 §3.2.1.3, RFC 4291 §2.4
 */
export function isUnicast(address: IpAddress): boolean {
  const first = address[0] ?? 0
  if (address.length === 4) return first !== 0 && (first < 224 || (first >= 240 && address.some((byte) => byte !== 255)))
  return first !== 0xff && address.some((byte) => byte !== 0)
}
