import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import type http2 from 'node:http2'
import { it } from 'node:test'
import { dataClient, dataServer, openDataStream } from '../../../src/wire/data-stream.ts'
import { join } from '../../../src/wire/join.ts'

/** Both ends of a data stream and of a socket, over loopback. */
async function aJunction() {
  const stack = new AsyncDisposableStack()
  const listen = async (): Promise<[net.Socket, net.Socket]> => {
    const server = net.createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const near = net.connect({ allowHalfOpen: true, host: '127.0.0.1', port: (server.address() as net.AddressInfo).port })
    const [far] = (await once(server, 'connection')) as [net.Socket]
    if (near.connecting) await once(near, 'connect')
    server.close()
    stack.defer(() => void near.destroy())
    stack.defer(() => void far.destroy())
    return [near.on('error', () => {}), far.on('error', () => {})]
  }
  const [clientEnd, serverEnd] = await listen()
  const accepted = new Promise<http2.ServerHttp2Stream>((resolve) => {
    dataServer(serverEnd, (stream) => {
      stream.respond({ ':status': 200 })
      resolve(stream)
    })
  })
  const stream = await openDataStream(dataClient(clientEnd), 'x:1')
  const [app, socket] = await listen()
  return {
    app,
    far: await accepted,
    loseSession: () => void clientEnd.destroy(),
    socket,
    stream,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

/** How the app's connection ends: "end" for a FIN, or the error's code. */
function endOf(app: net.Socket): Promise<string> {
  return new Promise((resolve) => {
    app.resume().once('end', () => resolve('end'))
    app.once('error', (error) => resolve((error as NodeJS.ErrnoException).code ?? ''))
  })
}

it('join() passes a FIN on that came without data before the call', async () => {
  await using junction = await aJunction()
  junction.far.end()
  await once(junction.stream, 'end')
  join(junction.stream, junction.socket)
  assert.equal(await endOf(junction.app), 'end')
})

it('join() turns a lost session into a reset, also after the FIN of the socket', async () => {
  for (const endsFirst of [false, true]) {
    await using junction = await aJunction()
    join(junction.stream, junction.socket)
    if (endsFirst) {
      junction.far.resume()
      junction.app.end()
      await once(junction.far, 'end')
    }
    const ended = endOf(junction.app)
    junction.loseSession()
    assert.equal(await ended, 'ECONNRESET')
  }
})

it('dataServer() outlives more resets than Node takes for an attack', async () => {
  await using junction = await aJunction()
  const { session } = junction.stream
  assert.ok(session)
  const client = session as http2.ClientHttp2Session
  for (let n = 0; n < 1200; n++) (await openDataStream(client, 'x:1')).destroy(new Error('reset'))
  assert.equal((await openDataStream(client, 'x:1')).destroyed, false)
  assert.equal(client.destroyed, false)
})
