import { messageOf } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import { Attachments } from './attachments.ts'
import { type Carrier, openCarrier } from './carrier.ts'
import { ClientSettings } from './client-settings.ts'
import { allSubnets } from './cluster-view.ts'
import { ControlService } from './control-service.ts'
import { DataSession } from './data-session.ts'
import { dnsStatus, makeResolver, serveDns } from './dns-listener.ts'
import { HostDialer } from './host-dialer.ts'
import { ManagerSession } from './manager-session.ts'
import { type Network, startNetwork } from './network.ts'
import { Readiness } from './readiness.ts'
import type { Settings } from './settings.ts'
import { CLIENT_CONFIG_DEFAULTS } from '../wire/client-config.ts'
import { StatusLegs } from './status-legs.ts'
import type { TunnelSnapshot } from '../wire/control.ts'
import { WorkloadList } from './workload-list.ts'

/** How long the manager is given to take back what this tunnel held, milliseconds. */
const STOP_LIMIT_MS = 4000

/** A tunnel that runs. */
export type Tunnel = { stop(): Promise<void> }

/** Keeps routes in step with what the manager says about the cluster. */
function followSubnets(
  manager: ManagerSession,
  network: Network,
  { client, logger, readiness }: { client: ClientSettings; logger: Logger; readiness: Readiness },
): void {
  let applied = ''
  let running = Promise.resolve()
  const follow = (): void => {
    const { cluster } = manager.state.value
    const subnets = cluster ? allSubnets(cluster, client.value) : []
    const text = subnets.join(' ')
    if (!cluster || text === applied) return
    applied = text
    running = running
      .then(() => network.setSubnets(subnets))
      .then(() => {
        logger.info({ subnets }, 'the cluster is routed')
        readiness.routesSet()
      })
      .catch((error: unknown) => {
        applied = ''
        logger.error(`routes could not be set: ${messageOf(error)}`)
      })
  }
  manager.state.onChange(follow)
  client.onChange(follow)
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
  const onResume = (snapshot: TunnelSnapshot | null): void => {
    if (snapshot?.sessionId) manager.resume(snapshot.sessionId)
    attachments.resume(snapshot?.attachments ?? [])
    void manager.run(signal)
  }
  const ending = new AbortController()
  const { signal } = ending
  const resolver = makeResolver({ carrier, client, logger, manager, settings })
  let network: Network | undefined
  const hostDialer = new HostDialer({
    carrier,
    logger,
    names: () => ({
      answer: (query) => resolver.answer(query),
      clusterDomain: manager.state.value.cluster?.clusterDomain ?? settings.clusterDomain,
      namespace: settings.namespace,
    }),
    subnets: () => network?.subnets ?? [],
  })
  const dial = (id: string): Promise<void> => hostDialer.open(id)
  const legs = new StatusLegs({ attachments, data, manager, readiness })
  const dns = () => dnsStatus({ client, manager, settings })
  const parts = { attachments, client, data, dial, dns, legs, logger, manager, readiness, settings, workloads }
  const control = new ControlService({ ...parts, onQuit, onResume })

  // The control stream first: with it comes what a tunnel before this one held, and only then the session begins.
  void control.run(carrier, signal)
  void data.run(signal)
  const routed = await startNetwork({ dialer: data, logger })
  network = routed
  followSubnets(manager, routed, { client, logger, readiness })
  manager.state.patch({})
  void serveDns(resolver, routed.address4, { logger, onListening: () => readiness.dnsListens(), signal })

  return {
    stop: async () => {
      const limit = new Promise((resolve) => setTimeout(resolve, STOP_LIMIT_MS))
      await Promise.race([attachments.leaveAll().then(() => manager.depart()), limit])
      workloads.close()
      legs[Symbol.dispose]()
      ending.abort()
      await routed.stop()
      carrier.close()
    },
  }
}
