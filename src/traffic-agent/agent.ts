import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../base/logger.ts'
import { checkDestination, dialerWith } from '../outbound/dialer.ts'
import { agentServer } from './agent-service.ts'
import { AttachmentTable } from './attachment-table.ts'
import { ClientApi } from './client-api.ts'
import { ManagerClient } from './manager-client.ts'
import { openResolver, searchList } from './name-lookup.ts'
import { PortRelay } from './port-relay.ts'
import type { Settings } from './settings.ts'

/** While the Pod ends, Services still send connections for a moment, and open ones want to finish. */
const LINGER_MS = 1_000
const DRAIN_MS = 5_000

/** A running agent. */
export type RunningAgent = {
  /** Departs, lets connections finish for at most 5 s, then resets the rest. */
  stop(): Promise<void>
}

/**
 * Puts the parts together. Ports listen before the manager hears of this agent.
 * @throws a system error when a port cannot be listened on
 */
export async function startAgent(settings: Settings, logger: Logger): Promise<RunningAgent> {
  const { apiPort, containers } = settings.config
  const table = new AttachmentTable()
  const relays = containers.flatMap(({ name, ports }) =>
    ports.map((port) => new PortRelay({ logger, podIp: settings.podIp, port, route: () => table.route(name, port.containerPort) })),
  )
  const dialer = dialerWith(checkDestination)
  const api = new ClientApi({ containers, dialer, logger, port: apiPort, server: agentServer(openResolver(), searchList()), table })
  await Promise.all([...relays.map((relay) => relay.listen()), api.listen()])

  const end = new AbortController()
  const manager = new ManagerClient({ logger, settings, table })
  const running = manager.run(end.signal)
  return {
    stop: async () => {
      end.abort()
      await Promise.all([manager.depart(), drain(relays), running])
      manager.close()
      api.close()
      for (const relay of relays) relay.close()
      table.close()
    },
  }
}

async function drain(relays: readonly PortRelay[]): Promise<void> {
  const end = performance.now() + DRAIN_MS
  await sleep(LINGER_MS)
  while (performance.now() < end && relays.some(({ connections }) => connections > 0)) await sleep(50)
}
