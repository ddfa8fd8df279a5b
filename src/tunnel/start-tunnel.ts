import type { Logger } from '../base/logger.ts'
import { Attachments } from './attachments.ts'
import { type Carrier, openCarrier } from './carrier.ts'
import { ClientSettings } from './client-settings.ts'
import { ControlService } from './control-service.ts'
import { DataSession } from './data-session.ts'
import { dnsStatus, makeResolver, serveDns } from './dns-listener.ts'
import { traceName } from './dns-trace.ts'
import { HostDialer } from './host-dialer.ts'
import { ManagerSession } from './manager-session.ts'
import { type Network, startNetwork } from './network.ts'
import { Readiness } from './readiness.ts'
import { ADDRESS4, ADDRESS6 } from './routes.ts'
import { Routing } from './routing.ts'
import type { Settings } from './settings.ts'
import { CLIENT_CONFIG_DEFAULTS } from '../wire/client-config.ts'
import { StatusLegs } from './status-legs.ts'
import type { DnsTrace, DnsTraceParams, TunnelSnapshot } from '../wire/control.ts'
import { VirtualDialer } from './virtual-dialer.ts'
import { WorkloadDialers } from './workload-dialer.ts'
import { WorkloadList } from './workload-list.ts'

/** How long the manager is given to take back what this tunnel held, milliseconds. */
const STOP_LIMIT_MS = 4000

/** A tunnel that runs. */
export type Tunnel = { stop(): Promise<void> }

type RoutingParts = {
  carrier: Carrier
  client: ClientSettings
  data: DataSession
  graceMs: () => number
  logger: Logger
  manager: ManagerSession
  readiness: Readiness
}

/** What decides which addresses lead where, and who dials them. @param onRenumbered see {@link Routing} */
function makeRouting({ carrier, client, data, graceMs, logger, manager, readiness }: RoutingParts, onRenumbered: () => void) {
  const agents = new WorkloadDialers({ carrier, graceMs, logger, manager })
  readiness.needsAgents(agents)
  const routing = new Routing({
    client,
    logger,
    manager,
    onRenumbered,
    onSettled: (refusal) => (refusal ? readiness.routesRefused(refusal) : readiness.routesSet()),
    onWorkloads: (workloads) => agents.follow(workloads),
  })
  const dialer = new VirtualDialer({ addresses: routing.addresses, manager: data, ofWorkload: (workload) => agents.of(workload) })
  return { agents, dialer, routing }
}

/** Builds the parts and starts them. @param onQuit is called when a client asked the tunnel to end */
export async function startTunnel(settings: Settings, logger: Logger, onQuit: () => void): Promise<Tunnel> {
  const carrier: Carrier = await openCarrier(settings.carrier)
  const client = new ClientSettings(settings.clientConfig)
  const graceMs = (): number => client.value.timeouts?.connectionGrace ?? CLIENT_CONFIG_DEFAULTS.timeouts.connectionGrace
  const manager = new ManagerSession({ carrier, client, logger, settings })
  const data = new DataSession({ carrier, graceMs, logger, manager, managerNamespace: settings.managerNamespace })
  const readiness = new Readiness({ data, manager })
  const attachments = new Attachments({ carrier, client, graceMs, logger, manager, settings })
  const workloads = new WorkloadList(manager)
  const { agents, dialer, routing } = makeRouting({ carrier, client, data, graceMs, logger, manager, readiness }, () => resolver.forget())
  const onResume = (snapshot: TunnelSnapshot | null): void => {
    if (snapshot?.sessionId) manager.resume(snapshot.sessionId)
    attachments.resume(snapshot?.attachments ?? [])
    routing.resume(snapshot?.virtual)
    void manager.run(signal)
  }
  const ending = new AbortController()
  const { signal } = ending
  const resolver = makeResolver({ carrier, client, manager, routing, settings })
  let network: Network | undefined
  const hostDialer = new HostDialer({
    carrier,
    logger,
    names: () => ({
      answer: (query) => resolver.answer(query),
      clusterDomain: dnsStatus({ client, manager, routing, settings }).clusterDomain,
      namespace: settings.namespace,
    }),
    subnets: () => network?.subnets ?? [],
  })
  const dial = (id: string): Promise<void> => hostDialer.open(id)
  const legs = new StatusLegs({ attachments, data, manager, readiness })
  const trace = (params: DnsTraceParams): Promise<DnsTrace> => traceName(params, { ownAddresses: [ADDRESS4, ADDRESS6], resolver })
  const dns = () => dnsStatus({ client, manager, routing, settings })
  const parts = { attachments, client, data, dial, dns, legs, logger, manager, readiness, routing, settings, traceName: trace, workloads }
  const control = new ControlService({ ...parts, onQuit, onResume })

  // The control stream first: with it comes what a tunnel before this one held, and only then the session begins.
  void control.run(carrier, signal)
  void data.run(signal)
  const routed = await startNetwork({ dialer, logger, onPingRefused: (code) => routing.notePing(code) })
  network = routed
  void routing.start(routed, signal)
  void serveDns(resolver, routed.address4, { logger, onListening: () => readiness.dnsListens(), signal })

  return {
    stop: async () => {
      const limit = new Promise((resolve) => setTimeout(resolve, STOP_LIMIT_MS))
      await Promise.race([attachments.leaveAll().then(() => manager.depart()), limit])
      workloads.close()
      agents.close()
      legs[Symbol.dispose]()
      ending.abort()
      await routed.stop()
      carrier.close()
    },
  }
}
