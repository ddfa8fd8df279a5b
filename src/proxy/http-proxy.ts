// An HTTP proxy (RFC 9110 §7.6, RFC 9112 §3.2): CONNECT, and requests with an absolute URI. It adds no Via header: servers answer
// proxies otherwise (nginx does not compress for them), and the developer is to see what a container of the cluster sees.
import http from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { messageOf } from '../base/error.ts'
import { type Dial, type DialFailure, dialFailure, parseTarget, type Target } from './dial.ts'

/** What the proxy works with. */
export type HttpProxyOptions = {
  dial: Dial
  onFailure: (failure: DialFailure) => void
  /** Answers requests to the proxy itself. */
  page: (path: string) => Promise<{ body: string; type: string } | undefined>
  /** The port that the proxy listens on. */
  port: () => number
}

const STATUSES: Record<string, number> = { EAI_AGAIN: 503, ETIMEDOUT: 504 }
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', 'upgrade'])

/** The HTTP side of the proxy: a server that is handed connections. */
export function createHttpProxy(options: HttpProxyOptions): http.Server {
  const server = http.createServer({ insecureHTTPParser: false, keepAliveTimeout: 60_000, requestTimeout: 0 })
  server.on('request', (request, response) => void serve(request, response, options))
  server.on('connect', (request, socket, head) => void connect(request, { head, socket: socket as Socket }, options))
  server.on('upgrade', (request, socket, head) => void upgrade(request, { head, socket: socket as Socket }, options))
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')
    else socket.destroy()
  })
  return server
}

async function serve(request: http.IncomingMessage, response: http.ServerResponse, options: HttpProxyOptions): Promise<void> {
  const url = absoluteUrl(request)
  if (!url || isSelf(url, options.port())) return servePage(request, response, options)
  const target = targetOf(url)
  if (!target) return say(response, 400, `The proxy takes http:// and CONNECT, not ${url.protocol}//`)
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  try {
    const { stream } = await options.dial(target, gone.signal)
    forward({ request, response, stream, url })
  } catch (error) {
    if (gone.signal.aborted) return
    const failure = dialFailure(error, target)
    options.onFailure(failure)
    say(response, STATUSES[failure.code] ?? 502, failure.text)
  }
}

type Exchange = { request: http.IncomingMessage; response: http.ServerResponse; stream: Duplex; url: URL }

function forward({ request, response, stream, url }: Exchange): void {
  const outgoing = requestOver(stream, request, url)
  outgoing.once('response', (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.statusMessage, withoutHopByHop(answer.rawHeaders, ['transfer-encoding']))
    answer.pipe(response)
    // An answer that was cut off must not look whole.
    answer.once('error', () => response.destroy()).once('aborted', () => response.destroy())
  })
  outgoing.on('error', (error) => {
    if (response.headersSent) response.destroy()
    else say(response, 502, `${url.host}: ${messageOf(error)}`)
  })
  response.once('close', () => {
    outgoing.destroy()
    stream.destroy()
  })
  request.pipe(outgoing)
}

/** The client's request as the server shall see it: the URI's path, and Host as the URI has it (RFC 9112 §3.2.2). */
function requestOver(stream: Duplex, request: http.IncomingMessage, url: URL, extra: string[] = []): http.ClientRequest {
  const kept = withoutHopByHop(request.rawHeaders, ['host'])
  return http.request({
    createConnection: () => stream,
    headers: ['Host', url.host, ...kept, ...extra] as unknown as http.OutgoingHttpHeaders,
    method: request.method,
    path: `${url.pathname}${url.search}`,
    setDefaultHeaders: false,
  })
}

async function connect(
  request: http.IncomingMessage,
  { head, socket }: { head: Buffer; socket: Socket },
  options: HttpProxyOptions,
): Promise<void> {
  const target = parseTarget(request.url ?? '')
  if (!target) return sayRaw(socket, 400, `Not a host and port: ${request.url}`)
  const gone = new AbortController()
  const abort = (): void => gone.abort()
  socket.on('error', abort).once('close', abort)
  try {
    const dialed = await options.dial(target, gone.signal)
    socket.off('error', abort).off('close', abort)
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
    if (head.length > 0) socket.unshift(head)
    dialed.joinWith(socket)
    if (socket.destroyed) dialed.stream.destroy()
  } catch (error) {
    if (gone.signal.aborted) return
    const failure = dialFailure(error, target)
    options.onFailure(failure)
    sayRaw(socket, STATUSES[failure.code] ?? 502, failure.text)
  }
}

/** WebSockets over plain HTTP. After the answer 101 the bytes go through; any other answer ends the connection. */
async function upgrade(
  request: http.IncomingMessage,
  { head, socket }: { head: Buffer; socket: Socket },
  options: HttpProxyOptions,
): Promise<void> {
  const url = absoluteUrl(request)
  const target = url && targetOf(url)
  if (!target) return sayRaw(socket, 400, 'This is a proxy')
  const gone = new AbortController()
  socket.on('error', () => gone.abort()).once('close', () => gone.abort())
  try {
    const dialed = await options.dial(target, gone.signal)
    socket.once('close', () => dialed.stream.destroy())
    const outgoing = requestOver(dialed.stream, request, url, ['Connection', 'Upgrade', 'Upgrade', request.headers.upgrade ?? ''])
    outgoing.once('upgrade', (answer, _stream, first) => {
      socket.write(headOf(answer, answer.rawHeaders))
      socket.write(first)
      if (head.length > 0) socket.unshift(head)
      dialed.joinWith(socket)
    })
    outgoing.once('response', (answer) => {
      socket.write(headOf(answer, [...withoutHopByHop(answer.rawHeaders, ['transfer-encoding']), 'Connection', 'close']))
      answer.pipe(socket)
    })
    outgoing.once('error', () => socket.resetAndDestroy())
    outgoing.end()
  } catch (error) {
    const failure = dialFailure(error, target)
    options.onFailure(failure)
    if (!socket.destroyed) sayRaw(socket, STATUSES[failure.code] ?? 502, failure.text)
  }
}

/**
 * The proxy's own pages. Other web sites must not read them: their pages come with a foreign Host (DNS rebinding), or as a
 * cross-site request, of which browsers tell.
 */
async function servePage(request: http.IncomingMessage, response: http.ServerResponse, options: HttpProxyOptions): Promise<void> {
  const port = options.port()
  const isOwnName = [`127.0.0.1:${port}`, `localhost:${port}`].includes((request.headers.host ?? '').toLowerCase())
  const site = request.headers['sec-fetch-site']
  if (!isOwnName || (site !== undefined && site !== 'none' && site !== 'same-origin'))
    return say(response, 403, 'This is a proxy; its own pages are for this host only')
  const path = (absoluteUrl(request)?.pathname ?? request.url ?? '/').split('?', 1)[0] ?? '/'
  try {
    const page = await options.page(path)
    if (!page) return say(response, 404, 'This is a proxy; it has /proxy.pac')
    response.writeHead(200, { 'cache-control': 'no-store', 'content-type': page.type, 'x-content-type-options': 'nosniff' }).end(page.body)
  } catch (error) {
    say(response, 503, messageOf(error))
  }
}

function absoluteUrl({ url = '' }: http.IncomingMessage): URL | undefined {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(url) && URL.canParse(url) ? new URL(url) : undefined
}

function targetOf({ hostname, port, protocol }: URL): Target | undefined {
  return protocol === 'http:' ? parseTarget(`${hostname}:${port || 80}`) : undefined
}

function isSelf({ hostname, port }: URL, own: number): boolean {
  return (hostname === '127.0.0.1' || hostname === 'localhost') && Number(port) === own
}

/** Header names and values, one after the other, without those that are for the next hop only. */
function withoutHopByHop(rawHeaders: string[], more: string[]): string[] {
  const pairs = rawHeaders.flatMap((name, i) => (i % 2 === 0 ? [[name, rawHeaders[i + 1] ?? ''] as const] : []))
  const named = pairs.filter(([name]) => name.toLowerCase() === 'connection').flatMap(([, value]) => value.toLowerCase().split(/\s*,\s*/))
  const dropped = new Set([...HOP_BY_HOP, ...named, ...more])
  return pairs.filter(([name]) => !dropped.has(name.toLowerCase())).flat()
}

function headOf({ statusCode, statusMessage }: http.IncomingMessage, headers: string[]): string {
  const lines = headers.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${headers[i + 1] ?? ''}`] : []))
  return `HTTP/1.1 ${statusCode} ${statusMessage}\r\n${lines.join('\r\n')}\r\n\r\n`
}

function say(response: http.ServerResponse, status: number, text: string): void {
  response.writeHead(status, { connection: 'close', 'content-type': 'text/plain; charset=utf-8' }).end(`tpx proxy: ${text}\n`)
}

function sayRaw(socket: Socket, status: number, text: string): void {
  const body = `tpx proxy: ${text}\n`
  const head = [
    `HTTP/1.1 ${status} ${http.STATUS_CODES[status]}`,
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
  socket.resume()
}
