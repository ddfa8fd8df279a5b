// Blocks of addresses in CIDR notation, IPv4 and IPv6 (RFC 4632, RFC 4291 §2.3).
import ipaddr from 'ipaddr.js'

/** A block: `first` is its lowest address as a number, with all bits behind the prefix zero. */
type Block = { bits: 32 | 128; first: bigint; prefix: number }

/** True for what {@link normalizeCidr} takes: four decimal parts or an IPv6 address, a slash and a prefix length. */
export function isCidr(text: string): boolean {
  const [address = '', prefix = ''] = text.split('/')
  return /^\d{1,3}$/.test(prefix) && isAddress(address) && ipaddr.isValidCIDR(text)
}

/** True for an address in full: "10.1" and zones are none. */
export function isAddress(text: string): boolean {
  return ipaddr.IPv4.isValidFourPartDecimal(text) || (ipaddr.IPv6.isValid(text) && !text.includes('%'))
}

/** The same block with the bits behind the prefix cleared, as RFC 5952 writes it. @throws Error for what is no CIDR */
export function normalizeCidr(cidr: string): string {
  return formatBlock(parseBlock(cidr))
}

/** An address as the block that holds nothing else. */
export function hostCidr(address: string): string {
  return `${address}/${address.includes(':') ? 128 : 32}`
}

/** True when `inner` lies within `outer`. */
export function contains(outer: string, inner: string): boolean {
  return containsBlock(parseBlock(outer), parseBlock(inner))
}

/** True when two blocks share an address: then one lies within the other. */
export function overlaps(a: string, b: string): boolean {
  return contains(a, b) || contains(b, a)
}

/** The blocks, each normalized, without those that lie within another one; sorted as {@link compareCidrs} does. */
export function withoutNested(cidrs: readonly string[]): string[] {
  const kept: string[] = []
  let last: Block | undefined
  // Blocks are nested or apart, so the one before is the only one that can hold the next.
  for (const cidr of [...new Set(cidrs.map(normalizeCidr))].sort(compareCidrs)) {
    const block = parseBlock(cidr)
    if (last && containsBlock(last, block)) continue
    last = block
    kept.push(cidr)
  }
  return kept
}

/** What is left of `cidr` without `hole`, in the fewest blocks. */
export function subtractCidr(cidr: string, hole: string): string[] {
  const outer = parseBlock(cidr)
  const inner = parseBlock(hole)
  if (containsBlock(inner, outer)) return []
  if (!containsBlock(outer, inner)) return [formatBlock(outer)]
  const left: string[] = []
  // From the hole upwards: at each length the half that does not hold it.
  for (let prefix = outer.prefix + 1; prefix <= inner.prefix; prefix++) {
    const size = 1n << BigInt(outer.bits - prefix)
    const half = (inner.first / size) * size
    left.push(formatBlock({ bits: outer.bits, first: half ^ size, prefix }))
  }
  return left.sort(compareCidrs)
}

/** Order for people: IPv4 first, then by address. */
export function compareCidrs(a: string, b: string): number {
  const [one, other] = [parseBlock(a), parseBlock(b)]
  if (one.bits !== other.bits) return one.bits - other.bits
  if (one.first !== other.first) return one.first < other.first ? -1 : 1
  return one.prefix - other.prefix
}

/** Number of address bits behind the prefix. */
export function hostBits(cidr: string): number {
  const { bits, prefix } = parseBlock(cidr)
  return bits - prefix
}

/** The address at a place in a block, counted from its first one; the reverse of {@link offsetIn}. */
export function addressAt(cidr: string, offset: bigint): string {
  const { bits, first } = parseBlock(cidr)
  return formatAddressNumber(first + offset, bits)
}

/** The place of an address in a block. */
export function offsetIn(cidr: string, address: string): bigint {
  return parseBlock(hostCidr(address)).first - parseBlock(cidr).first
}

/** Clusters have thousands of subnets, and each connection asks for the same ones. */
const parsedBlocks = new Map<string, Block>()
const MOST_PARSED = 20_000

function parseBlock(cidr: string): Block {
  const known = parsedBlocks.get(cidr)
  if (known) return known
  if (parsedBlocks.size >= MOST_PARSED) parsedBlocks.clear()
  const block = readBlock(cidr)
  parsedBlocks.set(cidr, block)
  return block
}

function readBlock(cidr: string): Block {
  const [address, prefix] = ipaddr.parseCIDR(cidr)
  const bits = address.kind() === 'ipv6' ? 128 : 32
  const value = address.toByteArray().reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
  const size = 1n << BigInt(bits - prefix)
  return { bits, first: (value / size) * size, prefix }
}

function containsBlock(outer: Block, inner: Block): boolean {
  return (
    outer.bits === inner.bits &&
    outer.prefix <= inner.prefix &&
    inner.first >> BigInt(outer.bits - outer.prefix) === outer.first >> BigInt(outer.bits - outer.prefix)
  )
}

function formatBlock({ bits, first, prefix }: Block): string {
  return `${formatAddressNumber(first, bits)}/${prefix}`
}

function formatAddressNumber(value: bigint, bits: 32 | 128): string {
  const bytes = Array.from({ length: bits / 8 }, (_, i) => Number((value >> BigInt(bits - 8 - i * 8)) & 0xffn))
  return ipaddr.fromByteArray(bytes).toString()
}
