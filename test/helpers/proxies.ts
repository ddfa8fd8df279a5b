// What may stand between a laptop and an API server. All listen on a loopback port and end with their scope.
import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import net, { type AddressInfo, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { apiServer, clusterKubeconfig } from './kubeconfig.ts'

/** A running proxy. `used` names what passed it, in order. */
export type Proxy = AsyncDisposable & { port: number; used: string[] }

async function serve(server: net.Server, used: string[]): Promise<Proxy> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).once('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    used,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function join(a: Duplex, b: Duplex): void {
  a.on('error', () => b.destroy()).once('close', () => b.destroy())
  b.on('error', () => a.destroy()).once('close', () => a.destroy())
  a.pipe(b).pipe(a)
}

/** The API server on a loopback port, as kind, k3d and minikube publish it. */
export function loopbackApi(): Promise<Proxy> {
  const used: string[] = []
  const server = net.createServer((socket) => {
    used.push('connection')
    join(socket, net.connect(apiServer()))
  })
  return serve(server, used)
}

/** An HTTP proxy that knows CONNECT. @param options `credentials`: "user:password" that it asks for; `tls`: it is spoken to by https */
export function connectProxy(options: { credentials?: string; tls?: { cert: string; key: string } } = {}): Promise<Proxy> {
  const { credentials, tls } = options
  const used: string[] = []
  const server = tls ? https.createServer(tls) : http.createServer()
  server.on('connect', (request, socket: Duplex, head: Buffer) => {
    const given = Buffer.from((request.headers['proxy-authorization'] ?? '').replace('Basic ', ''), 'base64').toString()
    if (credentials !== undefined && given !== credentials)
      return void socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n')
    used.push(request.url ?? '')
    const [host = '', port] = (request.url ?? '').split(':')
    const ahead = net.connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      if (head.length) ahead.write(head)
      join(socket, ahead)
    })
    ahead.on('error', () => socket.destroy())
  })
  return serve(server, used)
}

/** A SOCKS5 proxy (RFC 1928) without authentication that knows CONNECT. */
export function socksProxy(): Promise<Proxy> {
  const used: string[] = []
  const server = net.createServer((socket) => {
    socket.once('data', () => {
      socket.write(Buffer.from([5, 0]))
      socket.once('data', (request) => {
        const isName = request[3] === 3
        const length = isName ? 1 + (request[4] ?? 0) : 4
        const host = isName ? request.subarray(5, 4 + length).toString() : [...request.subarray(4, 8)].join('.')
        const port = request.readUInt16BE(4 + length)
        used.push(`${host}:${port}`)
        const ahead = net.connect(port, host, () => {
          socket.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]))
          join(socket, ahead)
        })
        ahead.on('error', () => socket.destroy())
      })
    })
  })
  return serve(server, used)
}

/** What a {@link reverseProxy} does to upgrades; `strip` forwards the request without it, as many load balancers do; `hang` never answers. */
export type Upgrades = { spdy: 'hang' | 'pass' | 'strip'; tunnelled: 'pass' | 'refuse' }

/**
 * A reverse proxy for the API server, with credentials of its own, as an access gateway or `kubectl proxy` is: plain HTTP on
 * a loopback port. `used` names the port-forwards that got through.
 */
export function reverseProxy(upgrades: Upgrades): Promise<Proxy> {
  const used: string[] = []
  const { clusters, users } = clusterKubeconfig()
  const pem = (value: unknown): Buffer => Buffer.from(String(value), 'base64')
  const credentials = {
    ca: pem(clusters[0]?.cluster['certificate-authority-data']),
    cert: pem(users[0]?.user['client-certificate-data']),
    key: pem(users[0]?.user['client-key-data']),
  }
  const ahead = (request: http.IncomingMessage, headers: http.IncomingHttpHeaders): http.ClientRequest =>
    https.request({ ...apiServer(), ...credentials, agent: false, headers, method: request.method, path: request.url })
  const forward = (
    request: http.IncomingMessage,
    headers: http.IncomingHttpHeaders,
    answer: (from: http.IncomingMessage) => void,
  ): void => {
    const out = ahead(request, headers)
    out.on('response', answer).on('error', () => request.destroy())
    request.pipe(out)
  }
  const server = http.createServer((request, response) => {
    forward(request, request.headers, (from) => {
      response.writeHead(from.statusCode ?? 502, from.headers)
      from.pipe(response)
    })
  })
  server.on('upgrade', (request, socket: Duplex, head: Buffer) => {
    const isSpdy = request.headers.upgrade?.startsWith('SPDY') ?? false
    const isTunnelled = request.headers['sec-websocket-protocol']?.startsWith('SPDY') ?? false
    socket.on('error', () => {})
    if (isSpdy && upgrades.spdy === 'hang') return
    if (isSpdy && upgrades.spdy === 'strip') {
      const { connection: _connection, upgrade: _upgrade, ...headers } = request.headers
      return forward(request, headers, (from) => {
        socket.write(`HTTP/1.1 ${from.statusCode} ${from.statusMessage}\r\nConnection: close\r\nContent-Type: application/json\r\n\r\n`)
        from.pipe(socket)
      })
    }
    if (isTunnelled && upgrades.tunnelled === 'refuse') return void socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n')
    const out = ahead(request, request.headers)
    const answer = (from: http.IncomingMessage): void => {
      const lines = from.rawHeaders.flatMap((name, i, all) => (i % 2 ? [] : [`${name}: ${all[i + 1]}`]))
      socket.write([`HTTP/1.1 ${from.statusCode} ${from.statusMessage}`, ...lines, '', ''].join('\r\n'))
    }
    out.on('upgrade', (from, far: Duplex, first: Buffer) => {
      used.push(isSpdy ? 'spdy' : isTunnelled ? 'spdy-over-websocket' : 'websocket')
      answer(from)
      if (first.length) socket.write(first)
      if (head.length) far.write(head)
      join(socket, far)
    })
    out.on('response', (from) => {
      answer(from)
      from.pipe(socket)
    })
    out.on('error', () => socket.destroy()).end()
  })
  return serve(server, used)
}
