// Telepresence's ConnID, the name of one TCP connection or UDP flow in Tunnel and DialRequest messages:
//   offset   bytes  field
//   0        4|16   source address
//   +        2      source port, big-endian
//   +        4|16   destination address
//   +        2      destination port, big-endian
//   +        1      IP protocol number: 6 TCP, 17 UDP
// 13 bytes when both addresses are IPv4, else 37 with IPv4-mapped addresses where the two differ.
import ipaddr from 'ipaddr.js'
import { TpxError } from '../base/error.ts'

/** An address in canonical text (RFC 5952 for IPv6) and a port. */
export type Endpoint = { address: string; port: number }

/** One TCP connection or UDP flow. */
export type ConnectionId = { destination: Endpoint; protocol: 'tcp' | 'udp'; source: Endpoint }

const PROTOCOL_NUMBERS = { tcp: 6, udp: 17 } as const
const IPV4_LENGTH = 13
const IPV6_LENGTH = 37

/**
 * The bytes of an IP address, 4 or 16; IPv4-mapped IPv6 becomes IPv4.
 * @throws TpxError USAGE when the text is no IP address
 */
export function addressBytes(address: string): Buffer {
  // ipaddr.js takes "10.1" for 10.0.0.1.
  if (!ipaddr.IPv4.isValidFourPartDecimal(address) && !ipaddr.IPv6.isValid(address)) {
    throw new TpxError('USAGE', `Not an IP address: "${address}"`)
  }
  return Buffer.from(ipaddr.process(address).toByteArray())
}

/** The canonical text of 4 or 16 address bytes; IPv4-mapped IPv6 becomes IPv4. */
export function addressText(bytes: Uint8Array): string {
  const address = ipaddr.fromByteArray([...bytes])
  if (!(address instanceof ipaddr.IPv6)) return address.toString()
  return address.isIPv4MappedAddress() ? address.toIPv4Address().toString() : address.toRFC5952String()
}

/** An address in the text that {@link decodeConnectionId} gives. */
export function canonicalAddress(address: string): string {
  return addressText(addressBytes(address))
}

function mapped(bytes: Buffer): Buffer {
  return bytes.length === 16 ? bytes : Buffer.concat([Buffer.from('00000000000000000000ffff', 'hex'), bytes])
}

function portBytes(port: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(port)
  return bytes
}

/** @throws TpxError USAGE when an address is no IP address */
export function encodeConnectionId({ destination, protocol, source }: ConnectionId): Buffer {
  const from = addressBytes(source.address)
  const to = addressBytes(destination.address)
  const both = from.length === 4 && to.length === 4 ? [from, to] : [mapped(from), mapped(to)]
  return Buffer.concat([both[0]!, portBytes(source.port), both[1]!, portBytes(destination.port), Buffer.of(PROTOCOL_NUMBERS[protocol])])
}

/** @throws TpxError USAGE when the bytes are no ConnID of TCP or UDP */
export function decodeConnectionId(bytes: Uint8Array): ConnectionId {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const number = view.at(-1)
  const protocol = number === PROTOCOL_NUMBERS.tcp ? 'tcp' : number === PROTOCOL_NUMBERS.udp ? 'udp' : undefined
  if ((view.length !== IPV4_LENGTH && view.length !== IPV6_LENGTH) || !protocol) {
    throw new TpxError('USAGE', `Not a connection id: ${view.length} bytes, protocol ${number}`)
  }

  const size = view.length === IPV4_LENGTH ? 4 : 16
  const endpointAt = (at: number): Endpoint => ({
    address: addressText(view.subarray(at, at + size)),
    port: view.readUInt16BE(at + size),
  })
  return { destination: endpointAt(size + 2), protocol, source: endpointAt(0) }
}
