import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { DialError, type DialSession, openDialSession, serveDialSession } from '../../../src/wire/dial-session.ts'

async function socketPair(t: TestContext): Promise<[net.Socket, net.Socket]> {
  const server = net.createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const near = net.connect({ allowHalfOpen: true, host: '127.0.0.1', port: (server.address() as net.AddressInfo).port })
  const [far] = (await once(server, 'connection')) as [net.Socket]
  server.close()
  t.after(() => {
    near.destroy()
    far.destroy()
  })
  for (const socket of [near, far]) socket.on('error', () => {})
  return [near, far]
}

type Served = { session: DialSession; targets: unknown[] }

/** Names: `echo`, or the code of a failure. */
async function start(t: TestContext): Promise<Served> {
  const [near, far] = await socketPair(t)
  const targets: unknown[] = []
  serveDialSession(far, async (target) => {
    targets.push(target)
    if (target.host !== 'echo' && !target.host.includes(':')) throw new DialError(target.host.toUpperCase())
    const [one, other] = await socketPair(t)
    other.pipe(other)
    return one
  })
  return { session: openDialSession(near), targets }
}

const signal = new AbortController().signal

async function echo(stream: Duplex, text: string): Promise<string> {
  stream.end(text)
  let heard = ''
  for await (const chunk of stream as AsyncIterable<Buffer>) heard += chunk.toString()
  return heard
}

test('a session dials many targets at once, with the verdict of the far side', async (t) => {
  const { session, targets } = await start(t)
  const streams = await Promise.all(Array.from({ length: 50 }, () => session.dial({ host: 'echo', port: 80 }, signal)))
  assert.deepEqual(
    await Promise.all(streams.map(({ stream }, i) => echo(stream, `text ${i}`))),
    streams.map((_, i) => `text ${i}`),
  )
  await assert.rejects(session.dial({ host: 'econnrefused', port: 81 }, signal), { code: 'ECONNREFUSED' })
  await session.dial({ host: 'fd00::1', port: 443 }, signal)
  assert.deepEqual(targets.slice(-2), [
    { host: 'econnrefused', port: 81 },
    { host: 'fd00::1', port: 443 },
  ])
  assert.equal(session.isClosed, false)
})

test('streams that nobody reads do not stop the others', async (t) => {
  const { session } = await start(t)
  const stalled = await Promise.all(Array.from({ length: 20 }, () => session.dial({ host: 'echo', port: 80 }, signal)))
  for (const { stream } of stalled) stream.write(Buffer.alloc(3 << 20))
  const { stream } = await session.dial({ host: 'echo', port: 80 }, signal)
  assert.equal(await echo(stream, 'still there'), 'still there')
  for (const one of stalled) one.stream.destroy()
})

test('closed settles when the stream to the tunnel is gone, and a dial fails then', async (t) => {
  const { session } = await start(t)
  await session.dial({ host: 'echo', port: 80 }, signal)
  session.close()
  await session.closed
  assert.equal(session.isClosed, true)
  await assert.rejects(session.dial({ host: 'echo', port: 80 }, signal), { code: 'ECONNRESET' })
})
