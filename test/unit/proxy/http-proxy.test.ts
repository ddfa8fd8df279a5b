import assert from 'node:assert/strict'
import http from 'node:http'
import { type TestContext, test } from 'node:test'
import { startProxy } from '../../../src/proxy/proxy-server.ts'
import { client, listen, readAll, startFixture } from './proxy-fixture.ts'

/** Tells what it was asked. `/cut` ends in the middle of its answer. */
const origin = (): http.Server =>
  http
    .createServer((request, response) => {
      void readAll(request).then((body) => {
        if (request.url === '/cut') {
          response.writeHead(200, { 'content-length': 100 }).write('half')
          setTimeout(() => response.destroy(), 10)
          return
        }
        response.setHeader('Set-Cookie', ['a=1', 'b=2'])
        response.setHeader('Connection', 'close, X-Hop')
        response.setHeader('X-Hop', '1')
        response.end(JSON.stringify({ body: body.toString(), headers: request.rawHeaders, method: request.method, url: request.url }))
      })
    })
    .on('upgrade', (request, socket) => {
      if (request.url === '/no') return void socket.end('HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno')
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n')
      socket.pipe(socket)
    })

async function start(t: TestContext) {
  const server = origin()
  t.after(() => server.closeAllConnections())
  return startFixture(t, await listen(t, server))
}

/** Writes a request and reads until the end. */
async function ask(port: number, lines: string[], body = ''): Promise<string> {
  const socket = await client(port)
  // No FIN: Node's servers take it for the client's going away.
  socket.write(`${lines.join('\r\n')}\r\n\r\n${body}`)
  return (await readAll(socket).finally(() => socket.destroy())).toString()
}

test('plain HTTP: the path, Host from the URI, headers kept, those of the hop dropped, both ways', async (t) => {
  const { asked, proxy } = await start(t)
  const answer = await ask(
    proxy.port,
    [
      'POST http://web-app:81/a/b?c=d HTTP/1.1',
      'Host: other',
      'X-Keep: 1',
      'Proxy-Connection: keep-alive',
      'Connection: close, X-Drop',
      'X-Drop: 1',
      'Content-Length: 5',
    ],
    'hello',
  )
  const [head = '', text = ''] = answer.split('\r\n\r\n', 2)
  const got = JSON.parse(/\{.*\}/s.exec(text)?.[0] ?? '') as { body: string; headers: string[]; method: string; url: string }
  assert.deepEqual([got.method, got.url, got.body], ['POST', '/a/b?c=d', 'hello'])
  assert.deepEqual(got.headers.slice(0, 6), ['Host', 'web-app:81', 'X-Keep', '1', 'Content-Length', '5'])
  assert.ok(!/proxy-connection|x-drop/i.test(got.headers.join()))
  assert.match(head, /^HTTP\/1\.1 200 OK/)
  assert.match(head, /Set-Cookie: a=1\r\nSet-Cookie: b=2/)
  assert.doesNotMatch(head, /x-hop/i)
  assert.deepEqual(asked, [{ host: 'web-app', port: 81 }])
})

test('plain HTTP: a body without a length, and two requests to two hosts on one connection', async (t) => {
  const { asked, proxy } = await start(t)
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  t.after(() => agent.destroy())
  const post = (host: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const request = http.request({
        agent,
        headers: { Host: host },
        host: '127.0.0.1',
        method: 'PUT',
        path: `http://${host}/`,
        port: proxy.port,
      })
      request.on('response', (response) => void readAll(response).then((bytes) => resolve(bytes.toString()), reject)).on('error', reject)
      request.write('one ')
      request.end('two')
    })
  assert.match(await post('one'), /"body":"one two"/)
  assert.match(await post('two'), /"body":"one two"/)
  assert.deepEqual(
    asked.map(({ host }) => host),
    ['one', 'two'],
  )
})

for (const [code, status] of [
  ['ECONNREFUSED', 502],
  ['ENOTFOUND', 502],
  ['ETIMEDOUT', 504],
] as const)
  test(`HTTP answers ${status} for ${code}, by GET and by CONNECT`, async (t) => {
    const { failures, proxy } = await start(t)
    // Upper case stands for itself here: URL would lower it.
    assert.match(
      await ask(proxy.port, [`CONNECT ${code}:81 HTTP/1.1`, 'Host: x']),
      new RegExp(`^HTTP/1.1 ${status} .*tpx proxy: ${code}:81: `, 's'),
    )
    assert.equal(failures.length, 1)
  })

test('CONNECT joins; the client may speak at once', async (t) => {
  const { asked, proxy } = await start(t)
  const answer = await ask(
    proxy.port,
    ['CONNECT [fd00::1]:443 HTTP/1.1', 'Host: x'],
    'GET /in HTTP/1.1\r\nHost: in\r\nConnection: close\r\n\r\n',
  )
  assert.match(answer, /^HTTP\/1\.1 200 Connection established\r\n\r\nHTTP\/1\.1 200 OK/)
  assert.match(answer, /"url":"\/in"/)
  assert.deepEqual(asked, [{ host: 'fd00::1', port: 443 }])
})

test('a WebSocket over plain HTTP goes through after 101; another answer ends the connection', async (t) => {
  const { proxy } = await start(t)
  const lines = (path: string): string[] => [
    `GET http://web-app/${path} HTTP/1.1`,
    'Host: web-app',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Key: x',
  ]
  const socket = await client(proxy.port)
  socket.write(`${lines('ws').join('\r\n')}\r\n\r\n`)
  socket.once('data', () => socket.end('ping'))
  assert.match((await readAll(socket)).toString(), /^HTTP\/1\.1 101 .*\r\n\r\nping$/s)
  assert.match(await ask(proxy.port, lines('no')), /^HTTP\/1\.1 426 .*Connection: close\r\n\r\nno$/s)
})

test('an answer that is cut off does not look whole', async (t) => {
  const { proxy } = await start(t)
  const answer = await ask(proxy.port, ['GET http://web-app/cut HTTP/1.1', 'Host: web-app', 'Connection: close'])
  assert.match(answer, /content-length: 100\r\n/i)
  assert.ok(!answer.endsWith('0\r\n\r\n'))
})

test('the PAC file is for this host only', async (t) => {
  const { asked, proxy } = await start(t)
  const own = `127.0.0.1:${proxy.port}`
  const get = (host: string, ...more: string[]): Promise<string> =>
    ask(proxy.port, ['GET /proxy.pac HTTP/1.1', `Host: ${host}`, 'Connection: close', ...more])
  const answer = await get(own)
  assert.match(answer, /^HTTP\/1\.1 200 OK.*application\/x-ns-proxy-autoconfig.*FindProxyForURL/s)
  assert.match(answer, new RegExp(`PROXY ${own}`))
  assert.match(await get(`localhost:${proxy.port}`), /^HTTP\/1\.1 200/)
  assert.match(await get(`evil.example:${proxy.port}`), /^HTTP\/1\.1 403/, 'DNS rebinding')
  assert.match(await get(own, 'Sec-Fetch-Site: cross-site'), /^HTTP\/1\.1 403/, 'a script tag of another site')
  assert.match(
    await ask(proxy.port, [`GET http://${own}/proxy.pac HTTP/1.1`, `Host: ${own}`, 'Connection: close']),
    /^HTTP\/1\.1 200/,
    'through itself',
  )
  assert.match(await ask(proxy.port, ['GET /else HTTP/1.1', `Host: ${own}`]), /^HTTP\/1\.1 404/)
  assert.deepEqual(asked, [])
})

test('what is neither SOCKS5 nor HTTP gets 400', async (t) => {
  const { proxy } = await start(t)
  const socket = await client(proxy.port)
  socket.end(Buffer.of(4, 1, 0, 80, 0, 0, 0, 1))
  assert.match((await readAll(socket)).toString(), /^HTTP\/1\.1 400/)
  assert.match(await ask(proxy.port, ['CONNECT web-app HTTP/1.1', 'Host: x']), /^HTTP\/1\.1 400/)
  assert.match(await ask(proxy.port, ['GET ftp://web-app/ HTTP/1.1', 'Host: x']), /^HTTP\/1\.1 400/)
})

test('startProxy() says that a port is taken', async (t) => {
  const { proxy } = await start(t)
  const options = { dial: () => Promise.reject(new Error('no')), port: proxy.port, zone: () => Promise.reject(new Error('no')) }
  await assert.rejects(startProxy(options), { code: 'PORT_TAKEN', message: `Somebody else listens on port ${proxy.port} of 127.0.0.1` })
})
