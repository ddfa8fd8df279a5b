import { contains, hostCidr } from '../base/cidr.ts'
import { TpxError } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import { parseEchoRequest } from '../netstack/icmp.ts'
import { isUnicast } from '../netstack/ip-address.ts'
import { parseIpPacket } from '../netstack/ip-packet.ts'
import { isConnectionRequest, parseTcpSegment } from '../netstack/tcp-segment.ts'
import { parseUdpDatagram } from '../netstack/udp-datagram.ts'
import { acceptLocal } from './accept-local.ts'
import { ALWAYS_ADMITTED, DestinationListeners } from './admission.ts'
import type { Dialer } from './dialer.ts'
import { EchoFlows } from './echo-flows.ts'
import { type AdmissionMode, loadRuleset } from './nft-ruleset.ts'
import { ADDRESS4, ADDRESS6, configureDevice, DEVICE, hasIpv6, MARK, SubnetRoutes } from './routes.ts'
import { SynGate } from './syn-gate.ts'
import { listenTransparently, type OnAccepted, type TransparentListener } from './transparent-listener.ts'
import { openTunDevice } from './tun-device.ts'
import { UdpFlows } from './udp-flows.ts'

/** What the network is made with. */
export type NetworkOptions = {
  dialer: Dialer
  logger: Logger
  /** Ways to admit connections, best first; all by default. */
  modes?: readonly AdmissionMode[]
  /** The device was taken away. Without it the error is thrown, and the process ends: a new one makes the device again. */
  onLost?: (error: TpxError) => void
  /** The cluster side does not carry pings; `code` is a system error code. */
  onPingRefused?: (code: string) => void
}

/** The cluster in this network namespace. */
export interface Network {
  /** The tunnel's own IPv4 address: the source of the apps' packets to the cluster. */
  readonly address4: string
  /** The same for IPv6; nothing has it where the namespace has no IPv6. */
  readonly address6: string
  /** False where the namespace has no IPv6: IPv6 subnets are left out then. */
  readonly hasIpv6: boolean
  /** How connections are admitted. */
  readonly mode: AdmissionMode
  /** What leads to the cluster, CIDRs. */
  readonly subnets: readonly string[]
  /**
   * Leads exactly these subnets (CIDR notation) to the cluster. Connections and flows into subnets that are no longer among them are reset.
   * @throws TpxError TUNNEL_FAILED
   */
  setSubnets(cidrs: string[]): Promise<void>
  /** Resets all connections. Device, routes and rules stay, so that nothing leaks to the developer's network meanwhile. */
  stop(): Promise<void>
}

/**
 * Puts the cluster into the network namespace: the device, the rules, and what answers them. Until the first `setSubnets`
 * nothing is led there but what a tunnel before this one has left.
 * @throws TpxError TUN_UNAVAILABLE, TUNNEL_FAILED
 */
export async function startNetwork(options: NetworkOptions): Promise<Network> {
  const { dialer, logger, modes = ['tproxy', 'listener'] } = options
  const device = await openTunDevice(DEVICE)
  const listeners: TransparentListener[] = []
  try {
    acceptLocal(DEVICE)
    const ipv6 = await hasIpv6()
    const send = (packet: Uint8Array): void => device.write(packet)
    const onAccepted: OnAccepted = (socket) => gate.onAccepted(socket)
    // Neither has a port of its own choice: the apps of the namespace want theirs.
    for (const address of ipv6 ? [ADDRESS4, ADDRESS6] : [ADDRESS4])
      listeners.push(await listenTransparently({ address, port: 0 }, onAccepted))
    const ruleset = loadRuleset(modes, { device: DEVICE, mark: MARK, targets: listeners })
    const [mode] = await Promise.all([ruleset, configureDevice({ ipv6 })])
    const admission = mode === 'tproxy' ? ALWAYS_ADMITTED : new DestinationListeners(onAccepted)
    const gate = new SynGate({ admission, dialer, logger, send })
    const flows = new UdpFlows({ dialer, logger, send })
    const pings = new EchoFlows({ dialer, onRefused: options.onPingRefused ?? (() => {}), send })
    device.start((bytes) => onPacket(bytes, { flows, gate, pings }), options.onLost ?? crash)
    logger.info({ device: DEVICE, ipv6, mode }, 'network is up')
    return new KernelNetwork({ device, flows, gate, ipv6, listeners, mode, pings })
  } catch (error) {
    for (const listener of listeners) listener.close()
    device.close()
    throw error
  }
}

type Parts = {
  device: { close(): void }
  flows: UdpFlows
  gate: SynGate
  ipv6: boolean
  listeners: TransparentListener[]
  mode: AdmissionMode
  pings: EchoFlows
}

class KernelNetwork implements Network {
  readonly address4 = ADDRESS4
  readonly address6 = ADDRESS6
  readonly hasIpv6: boolean
  readonly mode: AdmissionMode
  subnets: readonly string[] = []
  readonly #parts: Parts
  readonly #routes: SubnetRoutes
  #lastChange: Promise<unknown> = Promise.resolve()

  constructor(parts: Parts) {
    this.hasIpv6 = parts.ipv6
    this.mode = parts.mode
    this.#parts = parts
    this.#routes = new SubnetRoutes(parts)
  }

  setSubnets(cidrs: string[]): Promise<void> {
    // One change after the other, whatever the caller does.
    const change = this.#lastChange.then(async () => {
      const removed = await this.#routes.set(cidrs)
      this.subnets = cidrs
      if (removed.length === 0) return
      const isLost = (address: string): boolean => {
        const host = hostCidr(address)
        return removed.some((cidr) => contains(cidr, host)) && !cidrs.some((cidr) => contains(cidr, host))
      }
      this.#parts.gate.resetConnections(isLost)
      for (const flows of [this.#parts.flows, this.#parts.pings]) flows.closeFlows(isLost)
    })
    this.#lastChange = change.catch(() => {})
    return change
  }

  async stop(): Promise<void> {
    const { device, flows, gate, listeners, pings } = this.#parts
    await this.#lastChange
    gate.stop()
    flows.stop()
    pings.stop()
    for (const listener of listeners) listener.close()
    device.close()
  }
}

function onPacket(bytes: Uint8Array, { flows, gate, pings }: Pick<Parts, 'flows' | 'gate' | 'pings'>): void {
  const packet = parseIpPacket(bytes)
  if (!packet || !isUnicast(packet.destination)) return
  const segment = parseTcpSegment(packet)
  if (segment && isConnectionRequest(segment)) return gate.onRequest(packet, segment)
  const datagram = parseUdpDatagram(packet)
  if (datagram) return flows.onDatagram(packet, datagram)
  const echo = parseEchoRequest(packet)
  if (echo) pings.onRequest(packet, echo)
}

function crash(error: TpxError): never {
  throw error
}
