import net from 'node:net'
import { silentLogger } from '../../../src/base/logger.ts'
import { dialerWith } from '../../../src/outbound/dialer.ts'
import { join } from '../../../src/wire/join.ts'
import type { Mux, Offer } from '../../../src/wire/mux.ts'
import type { AgentContainer } from '../../../src/wire/agent-config.ts'
import { agentServer } from '../../../src/traffic-agent/agent-service.ts'
import { type Attachment, AttachmentTable } from '../../../src/traffic-agent/attachment-table.ts'
import { ClientApi } from '../../../src/traffic-agent/client-api.ts'
import type { AddressResolver } from '../../../src/traffic-agent/name-lookup.ts'
import { PortRelay } from '../../../src/traffic-agent/port-relay.ts'
import { openMux } from '../wire/mux-fixture.ts'
import { connect } from './sockets.ts'

export const KEY = 'k'.repeat(32)

/** A relay and a client API over one table, without a manager. */
export async function startRig(options: { appPort: number; containers?: AgentContainer[]; resolver?: AddressResolver }) {
  const logger = silentLogger()
  const table = new AttachmentTable()
  const port = { agentPort: 0, containerPort: options.appPort, name: 'http', protocol: 'TCP' as const }
  const relay = new PortRelay({ host: '127.0.0.1', logger, podIp: '127.0.0.1', port, route: () => table.route('app', options.appPort) })
  const resolver = options.resolver ?? { resolve4: async () => [], resolve6: async () => [] }
  const api = new ClientApi({
    containers: options.containers ?? [],
    // Loopback is no destination of a real agent; here there is nothing else.
    dialer: dialerWith(() => {}),
    logger,
    port: 0,
    server: agentServer(resolver, ['default.svc.cluster.local']),
    table,
  })
  const attachment = (more: Partial<Attachment> = {}): Attachment => ({
    container: 'app',
    containerPort: options.appPort,
    id: 'alias:web',
    key: KEY,
    kind: 'intercept',
    targetHost: '127.0.0.1',
    targetPort: 8080,
    ...more,
  })
  return {
    apiPort: await api.listen(),
    attachment,
    relay,
    relayPort: await relay.listen(),
    table,
    [Symbol.dispose]: () => {
      relay.close()
      api.close()
      table.close()
    },
  }
}

/** The developer's side of an attachment's pipe: what the tunnel does. `requests` are the lines of the agent's wishes. */
export type Developer = Disposable & { mux: Mux; requests: string[]; resume: () => Promise<void>; socket: net.Socket }

/** Opens a pipe. @param dial port on loopback where connections go, or what to do with each */
export async function openDeveloper(apiPort: number, dial: number | ((offer: Offer) => void), key: string = KEY): Promise<Developer> {
  const socket = await connect(apiPort)
  const { mux, resume } = await openMux(socket, 'inbound', key)
  const requests: string[] = []
  mux.onOffer = (offer) => {
    requests.push(offer.request)
    if (typeof dial === 'function') return void dial(offer)
    const app = net.connect({ allowHalfOpen: true, host: '127.0.0.1', noDelay: true, port: dial })
    const onError = (error: NodeJS.ErrnoException): void => offer.refuse(error.code ?? 'ECONNRESET')
    app.once('error', onError).once('connect', () => {
      app.off('error', onError)
      join(offer.accept(), app)
    })
  }
  return { mux, requests, resume: async () => resume(await connect(apiPort)), socket, [Symbol.dispose]: () => mux.destroy() }
}
