import { addressAt, contains, hostBits, hostCidr, offsetIn } from '../base/cidr.ts'
import type { VirtualSubnet } from '../wire/control.ts'

/** What a virtual address stands for. */
export type RealAddress = { address: string; workload: string | null }

/** Real addresses and the virtual ones under which apps know them: each pair is kept for as long as the connection lives. */
export class VirtualAddresses {
  #never: readonly string[] = []
  #subnets: readonly VirtualSubnet[] = []
  // Single addresses, in order of use: the first pair was silent longest.
  readonly #realOf = new Map<string, string>()
  readonly #virtualOf = new Map<string, string>()

  /** @param subnets what is virtual from now on; `never`: real addresses that nevertheless keep their own */
  configure(subnets: readonly VirtualSubnet[], never: readonly string[]): void {
    // Of two subnets the narrower one decides.
    this.#subnets = subnets.toSorted((a, b) => hostBits(a.cidr) - hostBits(b.cidr))
    this.#never = never
  }

  /** Pairs of real and virtual single addresses, for {@link restore}. */
  entries(): [string, string][] {
    return [...this.#virtualOf]
  }

  restore(entries: readonly [string, string][]): void {
    for (const [real, virtual] of entries) this.#keep(real, virtual)
  }

  /** The address under which apps are to know a real one; undefined where that is its own. */
  toVirtual(real: string): string | undefined {
    const subnet = this.#subnetOf(real)
    if (!subnet || this.#never.some((cidr) => contains(cidr, hostCidr(real)))) return undefined
    if (subnet.isPrefix) return addressAt(subnet.virtual, offsetIn(subnet.cidr, real))
    const known = this.#virtualOf.get(real)
    if (known !== undefined && contains(subnet.virtual, hostCidr(known))) return this.#keep(real, known)
    return this.#keep(real, this.#freeSlot(subnet, real))
  }

  /** What a virtual address stands for: null where it is one that nobody was given, undefined where it is none. */
  toReal(virtual: string): RealAddress | null | undefined {
    if (this.#subnets.length === 0) return undefined
    const host = hostCidr(virtual)
    const blocks = this.#subnets.filter((one) => contains(one.virtual, host))
    if (blocks.length === 0) return undefined
    const block = blocks.find(({ isPrefix }) => isPrefix)
    const address = block ? addressAt(block.cidr, offsetIn(block.virtual, virtual)) : this.#realOf.get(virtual)
    const subnet = address === undefined ? undefined : this.#subnetOf(address)
    if (address === undefined || !subnet) return null
    if (!block) this.#keep(address, virtual)
    return { address, workload: (block ?? subnet).workload }
  }

  #subnetOf(real: string): VirtualSubnet | undefined {
    if (this.#subnets.length === 0) return undefined
    const host = hostCidr(real)
    return this.#subnets.find(({ cidr }) => contains(cidr, host))
  }

  /** The lower bits of the real address where they are free, so that a pair is likely to be the same again when it was forgotten. */
  #freeSlot({ virtual }: VirtualSubnet, real: string): string {
    const size = 1n << BigInt(hostBits(virtual))
    const start = offsetIn(real.includes(':') ? '::/0' : '0.0.0.0/0', real) % size
    for (let step = 0n; step < size && step <= BigInt(this.#realOf.size) + 1n; step++) {
      const slot = (start + step) % size
      const address = addressAt(virtual, slot)
      if (slot !== 0n && !this.#realOf.has(address)) return address
    }

    // All are taken: the one that was silent longest is given up.
    const [oldest] = [...this.#virtualOf].filter(([, other]) => contains(virtual, hostCidr(other)))
    if (oldest) this.#virtualOf.delete(oldest[0])
    return oldest?.[1] ?? addressAt(virtual, 1n)
  }

  #keep(real: string, virtual: string): string {
    this.#virtualOf.delete(real)
    this.#virtualOf.set(real, virtual)
    this.#realOf.set(virtual, real)
    return virtual
  }
}
