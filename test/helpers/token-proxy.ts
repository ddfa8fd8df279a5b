import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import type { KubeConfig } from '@kubernetes/client-node'
import { requesterFor, requestOptions } from '../../src/kube/api-request.ts'
import { serverOf } from '../../src/kube/server-address.ts'
import { makeCertificates } from '../../src/traffic-manager/certificates.ts'

const UNAUTHORIZED = JSON.stringify({
  apiVersion: 'v1',
  code: 401,
  kind: 'Status',
  message: 'Unauthorized',
  metadata: {},
  reason: 'Unauthorized',
  status: 'Failure',
})
const SERVER_NAME = 'localhost'

/**
 * An API server that takes bearer tokens: a TLS server with a CA of its own on 127.0.0.1, which passes requests and upgrades on
 * with the credentials of a kubeconfig. Whoever comes with a token that is not in `tokens` gets what an API server answers.
 */
export class TokenProxy implements AsyncDisposable {
  readonly ca: string
  /** Answers with 401 so far. */
  refused = 0
  readonly tokens = new Set<string>()
  readonly #server: https.Server
  readonly #sockets = new Set<Duplex>()
  readonly #upstream: KubeConfig

  private constructor(upstream: KubeConfig, certificates: { ca: string; cert: string; key: string }) {
    this.ca = certificates.ca
    this.#upstream = upstream
    this.#server = https.createServer(certificates, (request, response) => void this.#pass(request, response))
    this.#server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => void this.#upgrade(request, socket, head))
    this.#server.on('secureConnection', (socket: Duplex) => this.#track(socket))
  }

  /** @param upstream the real API server, and who to be there */
  static async start(upstream: KubeConfig): Promise<TokenProxy> {
    const proxy = new TokenProxy(upstream, await makeCertificates([SERVER_NAME]))
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  /** The `cluster` entry of a kubeconfig. */
  get cluster(): Record<string, string> {
    return {
      'certificate-authority-data': Buffer.from(this.ca).toString('base64'),
      server: `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`,
      'tls-server-name': SERVER_NAME,
    }
  }

  /** Ends all connections, those that were upgraded too. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close()
    this.cut()
    await new Promise((resolve) => setImmediate(resolve))
  }

  #track(socket: Duplex): void {
    this.#sockets.add(socket)
    socket.on('error', () => {}).once('close', () => this.#sockets.delete(socket))
  }

  #isWelcome(request: IncomingMessage): boolean {
    const [, token = ''] = /^Bearer (.+)$/.exec(request.headers.authorization ?? '') ?? []
    if (this.tokens.has(token)) return true
    this.refused += 1
    return false
  }

  /** The same request to the real server. */
  async #ask({ headers, method, url }: IncomingMessage): Promise<ReturnType<typeof https.request>> {
    const { authorization: _token, host: _host, ...rest } = headers
    const options = await requestOptions(this.#upstream, rest)
    return requesterFor(this.#upstream)(serverOf(this.#upstream) + (url ?? ''), { ...options, method })
  }

  async #pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!this.#isWelcome(request)) {
      response.writeHead(401, { 'content-type': 'application/json' }).end(UNAUTHORIZED)
      return
    }
    const ahead = await this.#ask(request)
    ahead.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.on('error', () => response.destroy()).pipe(response)
    })
    ahead.on('error', () => response.destroy())
    response.on('close', () => ahead.destroy())
    request.pipe(ahead)
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    if (!this.#isWelcome(request)) {
      socket.end(
        answerHead(401, 'Unauthorized', { 'content-length': UNAUTHORIZED.length, 'content-type': 'application/json' }) + UNAUTHORIZED,
      )
      return
    }
    const ahead = await this.#ask(request)
    ahead.on('upgrade', (answer, server, first) => {
      socket.write(answerHead(101, 'Switching Protocols', answer.headers))
      socket.write(first)
      if (head.length) server.write(head)
      server.on('error', () => socket.destroy()).once('close', () => socket.destroy())
      socket.once('close', () => server.destroy())
      socket.pipe(server).pipe(socket)
    })
    ahead.on('response', (answer) => {
      socket.write(answerHead(answer.statusCode ?? 502, answer.statusMessage ?? '', { ...answer.headers, connection: 'close' }))
      answer.pipe(socket)
    })
    ahead.on('error', () => socket.destroy())
    ahead.end()
  }
}

function answerHead(status: number, text: string, headers: Record<string, unknown>): string {
  const lines = Object.entries(headers).flatMap(([name, value]) => (Array.isArray(value) ? value : [value]).map((one) => `${name}: ${one}`))
  return `HTTP/1.1 ${status} ${text}\r\n${lines.join('\r\n')}\r\n\r\n`
}
