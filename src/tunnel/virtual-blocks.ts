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

/** The upper half of a pool, block by block. */
export class VirtualBlocks {
  readonly #blocks: string
  /** Where to look next for a block with so many host bits. */
  readonly #next = new Map<number, bigint>()
  readonly #used: string[]

  /** @param used blocks that are taken already */
  constructor(pool: string, used: readonly string[]) {
    ;[this.#blocks = ''] = subtractCidr(pool, singlesOf(pool))
    this.#used = [...used]
  }

  /** Takes a block as large as `cidr`; undefined when there is none left, so that its addresses must be handed out one by one. */
  take(cidr: string): string | undefined {
    const bits = hostBits(cidr)
    const space = hostBits(this.#blocks)
    if (bits > space) return undefined
    const size = 1n << BigInt(bits)
    const end = (1n << BigInt(space)) / size
    const prefix = (cidr.includes(':') ? 128 : 32) - bits
    let n = this.#next.get(bits) ?? 0n
    let block: string | undefined
    for (; block === undefined && n < end; n++) {
      const candidate = `${addressAt(this.#blocks, n * size)}/${prefix}`
      if (!this.#used.some((other) => overlaps(other, candidate))) block = candidate
    }

    this.#next.set(bits, n)
    if (block !== undefined) this.#used.push(block)
    return block
  }
}
