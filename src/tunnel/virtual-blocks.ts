// Where virtual addresses come from. The lower half of a pool is handed out address by address, the upper half in whole blocks.
import { addressAt, hostBits, normalizeCidr, overlaps, subtractCidr } from '../base/cidr.ts'

/** Telepresence's default: reserved addresses (RFC 1112 §4) that Linux routes and nobody uses. */
export const DEFAULT_VIRTUAL_SUBNET = '246.246.0.0/16'
/** For IPv6 subnets: unique local addresses (RFC 4193) beside the tunnel's own. */
export const VIRTUAL_SUBNET6 = 'fd00:7470:1::/48'

/** The part of a pool for single addresses. */
export function singlesOf(pool: string): string {
  const [address = '', prefix = ''] = normalizeCidr(pool).split('/')
  return normalizeCidr(`${address}/${Number(prefix) + 1}`)
}

/** A free block of a pool as large as `cidr`; undefined when there is none, so that its addresses must be handed out one by one. */
export function findBlock(pool: string, cidr: string, used: readonly string[]): string | undefined {
  const [blocks = ''] = subtractCidr(pool, singlesOf(pool))
  const bits = hostBits(cidr)
  const space = hostBits(blocks)
  if (bits > space) return undefined
  const size = 1n << BigInt(bits)
  const prefix = (pool.includes(':') ? 128 : 32) - bits
  // Each used block stands in the way of at least one candidate, so one more than there are used ones will do for equal sizes.
  const most = Math.min(Number((1n << BigInt(space)) / size), 4096)
  for (let n = 0; n < most; n++) {
    const candidate = `${addressAt(blocks, BigInt(n) * size)}/${prefix}`
    if (!used.some((other) => overlaps(other, candidate))) return candidate
  }
  return undefined
}
