import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { inflateRawSync, inflateSync, constants } from 'node:zlib'
import type { KubeConfig } from '@kubernetes/client-node'
import { createWebSocketStream, type WebSocket, WebSocketServer } from 'ws'
import { emptyKubeconfig } from '../../src/kube/client-config.ts'
import { dataHead, MAX_DATA, SPDY_TYPE, SpdyReader } from '../../src/kube/port-forward/spdy-frames.ts'
import type { PortForwardTransport } from '../../src/kube/port-forward/open-port-forward.ts'

/** How the fake behaves; may be changed while it runs. */
export type FakeApiOptions = {
  /** Loopback TCP port behind each port of each Pod; a port that is not here refuses. */
  backends?: Record<number, number>
  /** Objects by path (without query); a function may look at the query. */
  objects?: Record<string, object | ((query: URLSearchParams) => object)>
  /** Names of the Pods that exist. */
  pods?: string[]
  /** Answers to upgrades by transport: a status instead of 101, or "hang". */
  refuse?: Partial<Record<PortForwardTransport, number | 'hang' | 'reset'>>
  /** Body of a refusal; by default none, as a proxy would do. */
  refusalBody?: string
  /** Statuses of plain requests by path. */
  statuses?: Record<string, number>
}

/** A running fake; `transports` = the upgrades that were asked for, in order. */
export type FakeApi = {
  kubeConfig: KubeConfig
  options: FakeApiOptions
  requests: string[]
  server: string
  transports: PortForwardTransport[]
  [Symbol.asyncDispose](): Promise<void>
}

/** Kubelets give the answer one second after our FIN; tests need not wait as long. */
const GRACE_MS = 50

const status = (code: number, reason: string, message: string): string =>
  JSON.stringify({ kind: 'Status', apiVersion: 'v1', status: 'Failure', reason, message, code })

/** A Kubernetes API server that speaks just enough: GET of given objects, and the three ways of a port-forward. */
export async function fakeApiServer(options: FakeApiOptions = {}): Promise<FakeApi> {
  const fake: Omit<FakeApi, 'kubeConfig' | 'server' | typeof Symbol.asyncDispose> = { options, requests: [], transports: [] }
  const sockets = new Set<Socket>()
  const server = createServer((request, response) => answer(request, response, fake))
  const webSockets = new WebSocketServer({ noServer: true, perMessageDeflate: false })
  webSockets.on('headers', (headers, request) => headers.push(`Sec-WebSocket-Protocol: ${protocols.get(request)}`))
  const protocols = new WeakMap<IncomingMessage, string>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).once('close', () => sockets.delete(socket))
  })
  server.on('upgrade', (request, socket, head) => {
    const protocol = request.headers['sec-websocket-protocol'] ?? ''
    const transport = request.headers.upgrade === 'SPDY/3.1' ? 'spdy' : protocol.startsWith('SPDY') ? 'spdy-over-websocket' : 'websocket'
    fake.transports.push(transport)
    const refusal = fake.options.refuse?.[transport]
    const pod = /\/pods\/([^/]+)\/portforward/.exec(request.url ?? '')?.[1] ?? ''
    if (refusal === 'hang') return
    if (refusal === 'reset') return void socket.destroy()
    if (refusal !== undefined) return void end(socket, refusal, fake.options.refusalBody ?? '')
    if (!(fake.options.pods ?? []).includes(pod)) return void end(socket, 404, status(404, 'NotFound', `pods "${pod}" not found`))
    const backends = fake.options.backends ?? {}
    if (transport === 'spdy') {
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n',
      )
      if (head.length) socket.unshift(head)
      return void serveSpdy(socket, backends)
    }

    // ws refuses names with a slash, so the negotiation happens here.
    protocols.set(request, protocol)
    delete request.headers['sec-websocket-protocol']
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      if (transport === 'websocket')
        serveChannels(webSocket, Number(new URL(request.url ?? '', 'http://x').searchParams.get('ports')), backends)
      else serveSpdy(createWebSocketStream(webSocket), backends)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return Object.assign(fake, {
    kubeConfig: configFor(url),
    server: url,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  })
}

/** A kubeconfig for a server on loopback, without credentials. */
export function configFor(server: string): KubeConfig {
  const kubeConfig = emptyKubeconfig()
  kubeConfig.loadFromOptions({
    clusters: [{ name: 'fake', server, skipTLSVerify: true }],
    contexts: [{ name: 'fake', cluster: 'fake', user: 'fake' }],
    users: [{ name: 'fake' }],
    currentContext: 'fake',
  })
  return kubeConfig
}

function answer(request: IncomingMessage, response: ServerResponse, { options, requests }: Pick<FakeApi, 'options' | 'requests'>): void {
  const url = new URL(request.url ?? '', 'http://x')
  requests.push(url.pathname)
  const code = options.statuses?.[url.pathname]
  const object = options.objects?.[url.pathname]
  if (code) return void response.writeHead(code).end(status(code, code === 403 ? 'Forbidden' : 'Failure', `fake says ${code}`))
  if (!object) return void response.writeHead(404).end(status(404, 'NotFound', 'not found'))
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(JSON.stringify(typeof object === 'function' ? (object as (query: URLSearchParams) => object)(url.searchParams) : object))
}

function end(socket: Duplex, code: number, body: string): void {
  socket.end(`HTTP/1.1 ${code} Refused\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`)
}

/** The node's side of one forwarded port: bytes to and from a loopback server, and what it reports. */
function relay(port: number | undefined, peer: { data(bytes: Buffer): boolean; done(report: string): void }): Socket | undefined {
  if (!port) {
    setImmediate(() => peer.done('dial tcp4 127.0.0.1: connect: connection refused'))
    return undefined
  }

  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  let report = ''
  socket.on('error', (error) => (report = `read: ${error.message.includes('ECONNRESET') ? 'connection reset by peer' : error.message}`))
  socket.on('data', (bytes) => {
    if (!peer.data(bytes)) socket.pause()
  })
  const finish = (): void => {
    socket.destroy()
    peer.done(report)
  }
  return socket.once('end', finish).once('close', finish)
}

function serveSpdy(connection: Duplex, backends: Record<number, number>): void {
  const ids: Record<string, number> = {}
  let backend: Socket | undefined
  let isDone = false
  const done = (report: string): void => {
    if (isDone || connection.destroyed) return
    isDone = true
    if (report) connection.write(Buffer.concat([dataHead(ids['error']!, report.length), Buffer.from(report)]))
    connection.write(dataHead(ids['data']!, 0, true))
    connection.write(dataHead(ids['error']!, 0, true))
  }
  const data = (bytes: Buffer): boolean => {
    let hasRoom = true
    for (let at = 0; at < bytes.length; at += MAX_DATA) {
      const part = bytes.subarray(at, at + MAX_DATA)
      hasRoom = connection.write(Buffer.concat([dataHead(ids['data']!, part.length), part]))
    }

    return hasRoom
  }
  const reader = new SpdyReader({
    control: ({ body, type }) => {
      if (type === SPDY_TYPE.rstStream) backend?.destroy()
      if (type !== SPDY_TYPE.synStream) return
      const headers = readHeaders(body.subarray(10), Object.keys(ids).length === 0)
      ids[headers['streamtype'] ?? ''] = body.readUInt32BE(0)
      if (headers['streamtype'] === 'data') backend = relay(backends[Number(headers['port'])], { data, done })
    },
    data: (_id, part) => {
      if (backend && !backend.destroyed && !backend.write(part)) connection.pause()
    },
    dataEnd: () => setTimeout(() => done(''), GRACE_MS),
  })
  connection.on('data', (bytes: Buffer) => {
    reader.push(bytes)
    backend?.removeAllListeners('drain').on('drain', () => connection.resume())
  })
  connection.on('drain', () => backend?.resume())
  const lose = (): void => {
    backend?.destroy()
    connection.destroy()
  }
  connection.on('error', lose).on('end', lose).on('close', lose)
}

/** Name/value block of SPDY/3.1: zlib, counted strings. */
function readHeaders(block: Buffer, isFirst: boolean): Record<string, string> {
  const bytes = (isFirst ? inflateSync : inflateRawSync)(block, { finishFlush: constants.Z_SYNC_FLUSH })
  const texts: string[] = []
  for (let at = 4; at < bytes.length; at += 4 + bytes.readUInt32BE(at))
    texts.push(bytes.toString('utf8', at + 4, at + 4 + bytes.readUInt32BE(at)))
  return Object.fromEntries(texts.flatMap((text, i) => (i % 2 ? [] : [[text, texts[i + 1] ?? '']])))
}

function serveChannels(webSocket: WebSocket, port: number, backends: Record<number, number>): void {
  const head = Buffer.from([port & 255, port >> 8])
  const send = (channel: number, bytes: Buffer): void =>
    webSocket.send(Buffer.concat([Buffer.from([channel]), bytes]), () => backend?.resume())
  const backend = relay(backends[port], {
    data: (bytes) => {
      send(0, bytes)
      return webSocket.bufferedAmount < 1 << 18
    },
    done: (report) => {
      if (report) send(1, Buffer.from(report))
      webSocket.close(1000)
    },
  })
  send(0, head)
  send(1, head)
  webSocket.on('message', (message: Buffer) => {
    if (!backend || backend.destroyed || backend.write(message.subarray(1))) return
    webSocket.pause()
    backend.once('drain', () => webSocket.resume())
  })
  webSocket.on('error', () => {}).on('close', () => backend?.destroy())
}
