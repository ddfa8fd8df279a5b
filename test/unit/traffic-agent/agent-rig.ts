import net from 'node:net'
import type http2 from 'node:http2'
import { silentLogger } from '../../../src/base/logger.ts'
import { dialerWith } from '../../../src/outbound/dialer.ts'
import { dataServer, parseAuthority, refuse, SOURCE_HEADER } from '../../../src/wire/data-stream.ts'
import { join } from '../../../src/wire/join.ts'
import { openTpxStream } from '../../../src/wire/preface.ts'
import type { AgentContainer } from '../../../src/wire/agent-config.ts'
import { agentServer } from '../../../src/traffic-agent/agent-service.ts'
import { type Attachment, AttachmentTable } from '../../../src/traffic-agent/attachment-table.ts'
import { ClientApi } from '../../../src/traffic-agent/client-api.ts'
import type { AddressResolver } from '../../../src/traffic-agent/name-lookup.ts'
import { PortRelay } from '../../../src/traffic-agent/port-relay.ts'
import { connect } from './sockets.ts'

export const KEY = 'k'.repeat(32)

/** A relay and a client API over one table, without a manager. */
export async function startRig(options: {
  appPort: number
  containers?: AgentContainer[]
  pingEveryMs?: number
  resolver?: AddressResolver
}) {
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
    ...(options.pingEveryMs ? { pingEveryMs: options.pingEveryMs } : {}),
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

/** The developer's side of an inbound session: what the tunnel does. `dial` is where connections really go. */
export type Developer = Disposable & { headers: http2.IncomingHttpHeaders[]; session: http2.ServerHttp2Session; socket: net.Socket }

/** Opens an inbound session. @param dial port on loopback, or what to do with each stream */
export async function openDeveloper(
  apiPort: number,
  dial: number | ((stream: http2.ServerHttp2Stream) => void),
  key: string = KEY,
): Promise<Developer> {
  const socket = await connect(apiPort)
  await openTpxStream(socket, 'inbound', key)
  const headers: http2.IncomingHttpHeaders[] = []
  const session = dataServer(socket, (stream, given) => {
    headers.push(given)
    if (typeof dial === 'function') return void dial(stream)
    const app = net.connect({ allowHalfOpen: true, host: '127.0.0.1', noDelay: true, port: dial })
    const onError = (error: NodeJS.ErrnoException): void => refuse(stream, error.code ?? 'ECONNRESET')
    app.once('error', onError).once('connect', () => {
      app.off('error', onError)
      stream.respond({ ':status': 200 })
      join(stream, app)
    })
  })
  return { headers, session, socket, [Symbol.dispose]: () => session.destroy() }
}

export { parseAuthority, SOURCE_HEADER }
