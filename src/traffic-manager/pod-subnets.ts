import { addressBytes } from '../wire/connection-id.ts'
import { contains, coverAddress, formatSubnet, parseSubnet, type Subnet } from './subnets.ts'

/** A block around Pods outside of the nodes' subnets stays this long without any, so that routes do not flap with a roll-out. */
const EMPTY_BLOCK_MS = 10 * 60_000

type Block = { seenMs: number; subnet: Subnet }

/** The subnets of Pods: the nodes' own, and blocks around Pods that lie outside of them. */
export class PodSubnets {
  readonly #blocks = new Map<string, Block>()
  readonly #now: () => number

  /** @param now monotonic clock, milliseconds */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /**
   * @param nodeCidrs podCIDRs of all nodes
   * @param addresses of all Pods that have a network of their own
   * @returns the subnets, sorted by their text
   */
  update(nodeCidrs: readonly string[], addresses: readonly string[]): Subnet[] {
    const now = this.#now()
    const nodes = nodeCidrs.map(parseSubnet).filter((subnet) => subnet !== undefined)
    for (const address of addresses) {
      const bytes = addressBytes(address)
      if (nodes.some((subnet) => contains(subnet, bytes))) continue
      const known = [...this.#blocks.values()].find(({ subnet }) => contains(subnet, bytes))
      if (known) known.seenMs = now
      else this.#add(coverAddress(address, []), now)
    }

    for (const [text, { seenMs }] of this.#blocks) if (now - seenMs >= EMPTY_BLOCK_MS) this.#blocks.delete(text)
    const all = new Map(nodes.map((subnet) => [formatSubnet(subnet), subnet]))
    for (const [text, { subnet }] of this.#blocks) all.set(text, subnet)
    return [...all].sort(([a], [b]) => a.localeCompare(b)).map(([, subnet]) => subnet)
  }

  #add(subnet: Subnet | undefined, now: number): void {
    if (subnet) this.#blocks.set(formatSubnet(subnet), { seenMs: now, subnet })
  }
}
