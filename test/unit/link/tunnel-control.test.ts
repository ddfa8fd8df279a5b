import assert from 'node:assert/strict'
import { duplexPair } from 'node:stream'
import { test } from 'node:test'
import { TunnelControl } from '../../../src/link/tunnel-control.ts'
import { serveControl } from '../../../src/wire/control-channel.ts'
import type { TunnelSnapshot } from '../../../src/wire/control.ts'

/** A tunnel that holds a snapshot and writes down with what it was resumed. */
function aTunnel(snapshot: TunnelSnapshot) {
  const resumed: unknown[] = []
  const told: unknown[] = []
  const [near, far] = duplexPair()
  const asked = Promise.withResolvers<void>()
  serveControl(far, async (method, params) => {
    if (method === 'host') told.push(params)
    if (method === 'resume') resumed.push((params as { snapshot: unknown }).snapshot)
    if (method === 'snapshot') setImmediate(asked.resolve)
    return method === 'snapshot' ? snapshot : {}
  })
  return { asked: asked.promise, far, near, resumed, told }
}

test('TunnelControl hands a new tunnel what the one before it held', async () => {
  const snapshot: TunnelSnapshot = { attachments: [], sessionId: 'bearer' }
  const control = new TunnelControl()
  const first = aTunnel(snapshot)
  control.adopt(first.near)
  const client = await control.get(100, 'tunnel')
  await control.forward(client, { method: 'connect', params: {}, progress: () => {} })
  await first.asked
  assert.deepEqual(first.resumed, [null])

  const second = aTunnel(snapshot)
  control.adopt(second.near)
  await (await control.get(100, 'tunnel')).call('status', {})
  assert.deepEqual(second.resumed, [snapshot])
})

test('TunnelControl keeps what it knows when a call changes nothing', async () => {
  const control = new TunnelControl()
  const tunnel = aTunnel({ attachments: [], sessionId: 'x' })
  control.adopt(tunnel.near)
  await control.forward(await control.get(100, 'tunnel'), { method: 'status', params: {}, progress: () => {} })
  const next = aTunnel({ attachments: [], sessionId: 'x' })
  control.adopt(next.near)
  await (await control.get(100, 'tunnel')).call('status', {})
  assert.deepEqual(next.resumed, [null])
})

test('TunnelControl tells every tunnel about the host, before it is resumed and when something changes', async () => {
  const control = new TunnelControl()
  const facts = { apiAddresses: ['203.0.113.7'], networks: [] }
  control.tell(facts)
  const tunnel = aTunnel({ attachments: [], sessionId: 'x' })
  control.adopt(tunnel.near)
  const client = await control.get(100, 'tunnel')
  await client.call('status', {})
  assert.deepEqual([tunnel.told, tunnel.resumed], [[facts], [null]])
  const later = { ...facts, networks: [{ cidr: '10.0.0.0/8', name: 'tun0' }] }
  control.tell(later)
  await client.call('status', {})
  assert.deepEqual(tunnel.told, [facts, later])
})

test('TunnelControl remembers what a tunnel gave out without any call', async () => {
  const control = new TunnelControl()
  await control.refresh()
  const snapshot: TunnelSnapshot = { attachments: [], sessionId: 'x', virtual: { addresses: [['10.96.0.1', '246.246.0.1']], subnets: [] } }
  control.adopt(aTunnel(snapshot).near)
  await control.refresh()
  const next = aTunnel(snapshot)
  control.adopt(next.near)
  await (await control.get(100, 'tunnel')).call('status', {})
  assert.deepEqual(next.resumed, [snapshot])
})

test('TunnelControl forgets a tunnel that ended its side, and waits for the next', async () => {
  const control = new TunnelControl()
  const first = aTunnel({ attachments: [], sessionId: 'x' })
  control.adopt(first.near)
  await (await control.get(100, 'tunnel')).call('status', {})
  first.far.end()
  await new Promise((resolve) => first.near.once('close', resolve))
  assert.equal(control.isUp, false)
  await assert.rejects(control.get(10, 'tunnel'), { code: 'TUNNEL_FAILED' })
})
