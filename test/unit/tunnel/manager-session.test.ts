import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { TpxError } from '../../../src/base/error.ts'
import { lookupInCluster } from '../../../src/tunnel/dns-listener.ts'
import type { UdpHandlers } from '../../../src/tunnel/dialer.ts'
import { eventually, isUp, startFixture } from './tunnel-fixture.ts'

const source = { address: '172.17.0.2', port: 40_000 }
const forever = new AbortController().signal

test('ManagerSession arrives, reads the cluster, and keeps its session over a cut connection', async (t) => {
  const fixture = await startFixture(t)
  await eventually('up', () => isUp(fixture) && fixture.session.state.value.cluster !== null)
  const { cluster, sessionId } = fixture.session.state.value
  assert.deepEqual(
    [cluster!.serviceSubnets, cluster!.podSubnets, cluster!.clusterDomain],
    [['10.96.0.0/12'], ['10.244.0.0/16'], 'cluster.local'],
  )
  fixture.manager.cut()
  await eventually('noticed', () => !isUp(fixture))
  await eventually('up again', () => isUp(fixture))
  assert.equal(fixture.session.state.value.sessionId, sessionId)
  assert.equal(fixture.manager.arrivals, 1)
})

test('ManagerSession begins a new session when the manager has forgotten the old one', async (t) => {
  const fixture = await startFixture(t)
  await eventually('up', () => isUp(fixture))
  fixture.manager.cut({ forget: true })
  await eventually('second session', () => isUp(fixture) && fixture.session.state.value.sessionId === 'session-2')
})

test('ManagerSession says why there is none, and goes on by itself when the link is back', async (t) => {
  const fixture = await startFixture(t)
  await eventually('up', () => isUp(fixture))
  fixture.link.down = new TpxError('MANAGER_NOT_INSTALLED', 'There is no traffic-manager', { hint: 'tpx helm install' })
  fixture.manager.cut()
  await eventually('down', () => fixture.session.state.value.leg.state === 'down')
  await eventually('link’s reason', () => fixture.session.state.value.error?.code === 'MANAGER_NOT_INSTALLED')
  assert.equal(fixture.session.state.value.leg.detail, 'There is no traffic-manager')
  await assert.rejects(
    fixture.session.call(async () => 1),
    { code: 'MANAGER_NOT_INSTALLED' },
  )
  fixture.link.down = null
  await eventually('up', () => isUp(fixture))
})

test('ManagerSession notices within 5 s that answers stopped, and reports the path as frozen', async (t) => {
  const fixture = await startFixture(t)
  await eventually('up', () => isUp(fixture))
  let frozen = 0
  fixture.session.onFrozen = () => void frozen++
  fixture.manager.isFrozen = true
  const began = performance.now()
  await eventually('noticed', () => fixture.session.state.value.leg.state === 'down', 6000)
  assert.ok(performance.now() - began < 5000)
  assert.equal(frozen, 1)
  fixture.manager.isFrozen = false
  await eventually('up again', () => isUp(fixture), 8000)
})

test('lookupInCluster() waits over a short break and then asks', async (t) => {
  const fixture = await startFixture(t)
  await eventually('up', () => isUp(fixture))
  fixture.manager.lookup = ({ name, type }) => ({ rCode: 0, rrs: Buffer.from(`${name} ${type}`) })
  fixture.manager.cut()
  await eventually('noticed', () => !isUp(fixture))
  const { rcode, records } = await lookupInCluster(fixture.session, { limitMs: 4000, name: 'web-app.shop.svc.cluster.local.', type: 1 })
  assert.deepEqual([rcode, records.toString()], [0, 'web-app.shop.svc.cluster.local. 1'])
})

test('DataSession opens connections with their source, and passes the verdict of the far side on', async (t) => {
  const fixture = await startFixture(t)
  const stream = await fixture.data.tcp({ address: '10.96.0.10', port: 80 }, { signal: forever, source })
  const [chunk] = (await once(stream, 'data')) as [Buffer]
  assert.equal(chunk.toString(), '10.96.0.10 172.17.0.2:40000 ')
  stream.destroy()
  await assert.rejects(fixture.data.tcp({ address: '10.96.0.10', port: 1 }, { signal: forever, source }), { code: 'ECONNREFUSED' })
})

test('DataSession lets a dial wait while the session is opened again', async (t) => {
  const fixture = await startFixture(t)
  await eventually('up', () => isUp(fixture))
  fixture.manager.cut()
  const stream = await fixture.data.tcp({ address: 'fd00::1', port: 80 }, { signal: forever, source })
  const [chunk] = (await once(stream, 'data')) as [Buffer]
  assert.equal(chunk.toString(), 'fd00::1 172.17.0.2:40000 ')
  stream.destroy()
})

test('DataSession keeps connections over a lost link, and resets them when the manager began anew', async (t) => {
  const fixture = await startFixture(t)
  await eventually('up', () => isUp(fixture))
  const stream = await fixture.data.tcp({ address: '10.96.0.10', port: 80 }, { signal: forever, source })
  let got = ''
  stream.on('data', (chunk: Buffer) => (got += chunk.toString()))
  fixture.link.down = new TpxError('CARRIER_FAILED', 'no link')
  fixture.manager.cut()
  await eventually('down', () => !fixture.data.state.value.isUp)
  stream.write('still here')
  fixture.link.down = null
  await eventually('echo', () => got.endsWith('still here'))
  const reset = once(stream, 'error')
  fixture.manager.cut({ forget: true })
  await reset
})

test('DataSession gives a dial up when its app no longer waits', async (t) => {
  const fixture = await startFixture(t)
  fixture.link.down = new TpxError('CARRIER_FAILED', 'no link')
  const gone = new AbortController()
  const dial = fixture.data.tcp({ address: '10.96.0.10', port: 80 }, { signal: gone.signal, source })
  gone.abort()
  await assert.rejects(dial, { code: 'EHOSTUNREACH' })
})

test('DataSession says when the manager does not know tpx streams', async (t) => {
  const fixture = await startFixture(t)
  fixture.manager.speaksTpx = false
  fixture.manager.cut()
  await eventually('named', () => fixture.data.state.value.error?.message.includes('does not carry tpx') ?? false)
  assert.equal(fixture.data.state.value.error?.code, 'MANAGER_UNREACHABLE')
})

test('DataSession says when the manager is of the first version', async (t) => {
  const fixture = await startFixture(t)
  fixture.manager.speaksTpx = 'as the first version'
  fixture.manager.cut()
  await eventually('named', () => fixture.data.state.value.error?.hint === 'tpx helm upgrade')
})

test('DataSession carries datagrams whole, those from before the session too, and tells the end', async (t) => {
  const fixture = await startFixture(t)
  const seen: string[] = []
  const ended = Promise.withResolvers<string | undefined>()
  const handlers: UdpHandlers = {
    onClose: (code) => ended.resolve(code),
    onDatagram: (data) => void seen.push(Buffer.from(data).toString()),
  }
  const flow = fixture.data.udp({ address: '10.96.0.10', port: 53 }, handlers)
  for (const text of ['one', '', 'three']) flow.send(Buffer.from(text))
  await eventually('three datagrams', () => seen.length === 3)
  assert.deepEqual(seen, ['one', '', 'three'])
  fixture.manager.cut()
  flow.send(Buffer.from('after'))
  await eventually('over a new connection', () => seen.length === 4)
  fixture.manager.cut({ forget: true })
  assert.equal(await ended.promise, 'ECONNRESET')
  for (const port of [1, 2]) {
    const refused = Promise.withResolvers<string | undefined>()
    fixture.data.udp({ address: '10.96.0.10', port }, { onClose: refused.resolve, onDatagram: () => {} })
    assert.equal(await refused.promise, 'ECONNREFUSED')
  }
})
