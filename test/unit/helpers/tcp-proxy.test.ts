// The proxy that the fault matrix and the benchmark cut, silence and delay the path with: it must do exactly that.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { TcpProxy, type TcpProxyOptions } from '../../helpers/tcp-proxy.ts'

/** An echo server behind a proxy. */
async function rig(options: Partial<TcpProxyOptions> = {}, serve = (socket: Socket) => void socket.pipe(socket)) {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    serve(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy = await TcpProxy.start({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, ...options })
  const client = async () => {
    const socket = connect({ allowHalfOpen: true, host: '127.0.0.1', port: proxy.port })
    await once(socket, 'connect')
    sockets.add(socket)
    return socket
  }
  return {
    client,
    proxy,
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]()
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

async function echo(socket: Socket, text: string): Promise<string> {
  socket.write(text)
  return String((await once(socket, 'data'))[0])
}

const silent = async (socket: Socket, text: string): Promise<void> => {
  let heard = ''
  const listen = (chunk: Buffer) => void (heard += chunk.toString())
  socket.on('data', listen).write(text)
  await sleep(150)
  socket.off('data', listen).pause()
  assert.equal(heard, '')
}

describe('TcpProxy', () => {
  test('passes bytes and half-closes both ways, and counts them', async () => {
    await using one = await rig()
    const socket = await one.client()
    socket.end(Buffer.alloc(300_000, 1))
    assert.equal((await buffer(socket)).length, 300_000)
    assert.deepEqual(one.proxy.bytes, { down: 300_000, up: 300_000 })
  })

  test('close("reset") resets and refuses; open() listens on the same port again', async () => {
    await using one = await rig()
    const socket = await one.client()
    assert.equal(await echo(socket, 'a'), 'a')
    one.proxy.close('reset')
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
    assert.equal(error.code, 'ECONNRESET')
    await assert.rejects(one.client(), { code: 'ECONNREFUSED' })
    await one.proxy.open()
    assert.equal(await echo(await one.client(), 'b'), 'b')
  })

  test('close("silence") lets connections stand for ever, also after open()', async () => {
    await using one = await rig()
    const socket = await one.client()
    assert.equal(await echo(socket, 'a'), 'a')
    one.proxy.close('silence')
    await assert.rejects(one.client(), { code: 'ECONNREFUSED' })
    await one.proxy.open()
    one.proxy.thaw()
    await silent(socket, 'lost')
    assert.equal(socket.destroyed, false)
    assert.equal(await echo(await one.client(), 'b'), 'b')
  })

  test('freeze() keeps everything back, thaw() loses nothing', async () => {
    await using one = await rig()
    const socket = await one.client()
    assert.equal(await echo(socket, 'a'), 'a')
    one.proxy.freeze()
    await silent(socket, 'kept')
    const later = await one.client()
    await silent(later, 'new')
    one.proxy.thaw()
    const [[first], [second]] = (await Promise.all([once(socket.resume(), 'data'), once(later.resume(), 'data')])) as [[Buffer], [Buffer]]
    assert.deepEqual([String(first), String(second)], ['kept', 'new'])
  })

  test('a reset of the server is a reset for the client', async () => {
    await using one = await rig({}, (socket) => void socket.once('data', () => socket.resetAndDestroy()))
    const socket = await one.client()
    socket.write('x')
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
    assert.equal(error.code, 'ECONNRESET')
  })

  test('delays each way, in order', async () => {
    await using one = await rig({ delayMs: 40 })
    const socket = await one.client()
    const began = performance.now()
    assert.equal(await echo(socket, 'a'), 'a')
    const ms = performance.now() - began
    assert.ok(ms >= 78 && ms < 250, `${ms} ms`)
  })

  test('a window lets no more than itself pass in a round trip', async () => {
    const windowBytes = 256 << 10
    const bytes = 4 << 20
    await using one = await rig({ delayMs: 20, windowBytes })
    const socket = await one.client()
    const began = performance.now()
    socket.end(Buffer.alloc(bytes, 2))
    assert.equal((await buffer(socket)).length, bytes)
    const seconds = (performance.now() - began) / 1000
    // One chunk may overshoot the window: 64 KiB.
    const most = (windowBytes + (64 << 10)) / 0.04
    assert.ok(bytes / seconds < most, `${bytes / seconds} bytes a second`)
    assert.ok(bytes / seconds > most / 5, `${bytes / seconds} bytes a second`)
  })
})
