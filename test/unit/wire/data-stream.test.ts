import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'
import { test } from 'node:test'
import { dataClient, dataServer, formatAuthority, openDataStream, parseAuthority, refuse } from '../../../src/wire/data-stream.ts'
import { join } from '../../../src/wire/join.ts'

type Server = { close: () => Promise<void>; port: number }

async function listen(onSocket: (socket: net.Socket) => void): Promise<Server> {
  const sockets = new Set<net.Socket>()
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket.on('error', () => {}))
    onSocket(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    close: () => new Promise((resolve) => (server.close(() => resolve()), sockets.forEach((one) => one.destroy()))),
    port: (server.address() as net.AddressInfo).port,
  }
}

/** A far server, a dialer in front of it, and a client session: what lies between an app and its destination. */
async function path(onSocket: (socket: net.Socket) => void) {
  const far = await listen(onSocket)
  const dialer = await listen((carrier) => {
    dataServer(carrier, (stream, headers) => {
      const { host, port } = parseAuthority(String(headers[':authority']))
      const socket = net.connect({ allowHalfOpen: true, host, port })
      socket.once('error', (error: NodeJS.ErrnoException) => refuse(stream, error.code ?? 'EIO'))
      socket.once('connect', () => {
        socket.removeAllListeners('error')
        stream.respond({ ':status': 200 })
        join(stream, socket)
      })
    })
  })
  const carrier = net.connect(dialer.port, '127.0.0.1')
  await once(carrier, 'connect')
  const session = dataClient(carrier)
  return {
    carrier,
    far,
    session,
    async [Symbol.asyncDispose]() {
      session.destroy()
      carrier.destroy()
      await dialer.close()
      await far.close()
    },
  }
}

test('openDataStream() carries bytes both ways and keeps half-close in both directions', async () => {
  const payload = randomBytes(3_000_000)
  await using way = await path((socket) => {
    const hash = createHash('sha256')
    socket.on('data', (chunk) => hash.update(chunk)).on('end', () => socket.end(hash.digest('hex')))
  })
  const stream = await openDataStream(way.session, formatAuthority('127.0.0.1', way.far.port))
  stream.end(payload)
  let answer = ''
  for await (const chunk of stream.setEncoding('utf8')) answer += String(chunk)
  assert.equal(answer, createHash('sha256').update(payload).digest('hex'))
})

test("openDataStream() rejects with the dialer's error code", async () => {
  await using way = await path(() => {})
  const { port } = way.far
  await way.far.close()
  await assert.rejects(openDataStream(way.session, `127.0.0.1:${port}`), { code: 'ECONNREFUSED' })
})

test('join() turns a reset of the far side into an error, never an end', async () => {
  await using way = await path((socket) => socket.once('data', () => socket.resetAndDestroy()))
  const stream = await openDataStream(way.session, `127.0.0.1:${way.far.port}`)
  stream.on('error', () => {}).write('x')
  let ended = false
  stream.on('end', () => (ended = true)).resume()
  await new Promise((resolve) => stream.once('close', resolve))
  assert.ok(stream.rstCode !== 0 || stream.aborted)
  assert.ok(!ended || stream.aborted)
})

test('join() resets the far side when the session is lost', async () => {
  const { promise, resolve } = Promise.withResolvers<string>()
  await using way = await path((socket) =>
    socket
      .on('data', () => {})
      .on('end', () => resolve('false end'))
      .on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? '')),
  )
  const stream = await openDataStream(way.session, `127.0.0.1:${way.far.port}`)
  stream.on('error', () => {}).write('x')
  await new Promise((next) => setTimeout(next, 20))
  way.carrier.destroy()
  assert.equal(await promise, 'ECONNRESET')
})

test('parseAuthority() reverses formatAuthority(), brackets of IPv6 included', () => {
  for (const [host, port] of [
    ['10.0.0.1', 80],
    ['fd00::1', 443],
    ['web.default', 1],
  ] as const)
    assert.deepEqual(parseAuthority(formatAuthority(host, port)), { host, port })
})
