import assert from 'node:assert/strict'
import { once } from 'node:events'
import type net from 'node:net'
import { it } from 'node:test'
import { join } from '../../../src/wire/join.ts'
import type { MuxStream } from '../../../src/wire/mux-stream.ts'
import { muxPair, socketPair } from './mux-fixture.ts'

/** Both ends of a stream and of a socket. */
async function aJunction() {
  const pair = await muxPair()
  const offered = Promise.withResolvers<MuxStream>()
  pair.server.onOffer = ({ accept }) => offered.resolve(accept())
  const stream = await pair.client.open('x')
  const [app, socket] = await socketPair()
  return {
    app,
    far: await offered.promise,
    loseMux: () => pair.client.destroy(),
    socket,
    stream,
    [Symbol.asyncDispose]: async () => {
      app.destroy()
      socket.destroy()
      await pair[Symbol.asyncDispose]()
    },
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
  await new Promise((resolve) => setTimeout(resolve, 20))
  join(junction.stream, junction.socket)
  assert.equal(await endOf(junction.app), 'end')
})

it('join() turns a reset before the call into a reset', async () => {
  await using junction = await aJunction()
  junction.far.destroy(new Error('reset'))
  await new Promise((resolve) => junction.stream.once('close', resolve))
  const ended = endOf(junction.app)
  join(junction.stream, junction.socket)
  assert.equal(await ended, 'ECONNRESET')
})

it('join() turns a reset of the socket into a reset of the far stream', async () => {
  await using junction = await aJunction()
  join(junction.stream, junction.socket)
  const events: string[] = []
  junction.far
    .on('end', () => events.push('end'))
    .on('error', () => events.push('error'))
    .resume()
  junction.app.resetAndDestroy()
  await new Promise((resolve) => junction.far.once('close', resolve))
  assert.deepEqual(events, ['error'])
})

it('join() turns a lost mux into a reset, also after the FIN of the socket', async () => {
  for (const endsFirst of [false, true]) {
    await using junction = await aJunction()
    join(junction.stream, junction.socket)
    if (endsFirst) {
      junction.far.resume()
      junction.app.end()
      await once(junction.far, 'end')
    }
    const ended = endOf(junction.app)
    junction.loseMux()
    assert.equal(await ended, 'ECONNRESET')
  }
})
