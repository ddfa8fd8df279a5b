import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { duplexPair, type Duplex } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { TpxError } from '../../../src/base/error.ts'
import { silentLogger } from '../../../src/base/logger.ts'
import { DialRelay } from '../../../src/link/dial-relay.ts'
import { TunnelControl } from '../../../src/link/tunnel-control.ts'
import { serveControl } from '../../../src/wire/control-channel.ts'
import { readLine } from '../../../src/wire/preface.ts'

/** A relay with a tunnel that does as `onDial` says. */
async function start(t: TestContext, onDial: (id: string, relay: DialRelay) => void): Promise<Duplex> {
  const control = new TunnelControl()
  const relay = new DialRelay({ control, logger: silentLogger(), tunnelContainer: 'tunnel' })
  const [near, far] = duplexPair()
  serveControl(far, async (method, params) => {
    if (method === 'dial') onDial((params as { id: string }).id, relay)
    return {}
  })
  control.adopt(near)
  const server = net.createServer({ allowHalfOpen: true }, (socket) => void relay.serve(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = net.connect({ allowHalfOpen: true, host: '127.0.0.1', port: (server.address() as net.AddressInfo).port })
  t.after(() => {
    socket.destroy()
    server.close()
    control.close()
    far.destroy()
  })
  return socket
}

test('DialRelay joins a process of the host with the stream that the tunnel opens', async (t) => {
  const socket = await start(t, (id, relay) => {
    assert.match(id, /^[0-9a-f]{32}$/)
    const [near, far] = duplexPair()
    far.pipe(far)
    relay.adopt(id, near)
  })
  assert.equal(await readLine(socket), '{"ok":true}')
  socket.end('hello')
  let heard = ''
  for await (const chunk of socket as AsyncIterable<Buffer>) heard += chunk.toString()
  assert.equal(heard, 'hello')
})

test('DialRelay passes on why the tunnel opens none', async (t) => {
  const socket = await start(t, () => {
    throw new TpxError('CARRIER_FAILED', 'No way')
  })
  assert.deepEqual(JSON.parse(await readLine(socket)), { error: { code: 'CARRIER_FAILED', message: 'No way' } })
  await once(socket.resume(), 'end')
})

test('DialRelay closes a stream that nobody waits for', async () => {
  const relay = new DialRelay({ control: new TunnelControl(), logger: silentLogger(), tunnelContainer: 'tunnel' })
  const [near] = duplexPair()
  relay.adopt('a0'.repeat(16), near)
  assert.ok(near.destroyed)
})
