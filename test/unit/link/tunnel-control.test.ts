import assert from 'node:assert/strict'
import { duplexPair } from 'node:stream'
import { test } from 'node:test'
import { TunnelControl } from '../../../src/link/tunnel-control.ts'
import { serveControl } from '../../../src/wire/control-channel.ts'
import type { TunnelSnapshot } from '../../../src/wire/control.ts'

/** A tunnel that holds a snapshot and writes down with what it was resumed. */
function aTunnel(snapshot: TunnelSnapshot) {
  const resumed: unknown[] = []
  const [near, far] = duplexPair()
  const asked = Promise.withResolvers<void>()
  serveControl(far, async (method, params) => {
    if (method === 'resume') resumed.push((params as { snapshot: unknown }).snapshot)
    if (method === 'snapshot') setImmediate(asked.resolve)
    return method === 'snapshot' ? snapshot : {}
  })
  return { asked: asked.promise, far, near, resumed }
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
