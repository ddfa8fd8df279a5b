import { contains } from '../base/cidr.ts'
import type { RoutingConflict, VirtualSubnet } from './control.ts'

/** A conflict in words, for the progress of `connect` and for `status`. */
export function describeConflict({ cidr, network, resolution }: RoutingConflict, virtual: readonly VirtualSubnet[]): string {
  const overlap = `Subnet ${cidr} of the cluster overlaps with ${network.cidr} (${network.name})`
  const block = virtual.find((one) => contains(one.cidr, cidr))?.virtual
  if (resolution === 'virtual') return `${overlap}: it is reached under addresses of ${block ?? 'the virtual subnet'}`
  if (resolution === 'refused') return `${overlap}: it is not reached`
  return `${overlap}: in the connection it means the cluster`
}
