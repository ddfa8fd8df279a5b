import assert from 'node:assert/strict'
import { duplexPair } from 'node:stream'
import { test } from 'node:test'
import { TpxError } from '../../../src/base/error.ts'
import { ControlClient, serveControl } from '../../../src/wire/control-channel.ts'

test('ControlClient.call() gets result, progress and errors of its own call', async () => {
  const [near, far] = duplexPair()
  serveControl(far, async (method, params, progress) => {
    if (method === 'leave') throw new TpxError('ATTACHMENT_NOT_FOUND', `No "${(params as { name: string }).name}"`, { hint: 'Look' })
    progress('Waiting')
    await new Promise((resolve) => setImmediate(resolve))
    return [{ name: 'web' }]
  })
  const client = new ControlClient(near)
  const heard: string[] = []
  const [list, leave] = await Promise.allSettled([
    client.call('list', { namespace: null }, { onProgress: (text) => heard.push(text) }),
    client.call('leave', { name: 'x' }),
  ])
  assert.deepEqual(list, { status: 'fulfilled', value: [{ name: 'web' }] })
  assert.deepEqual(heard, ['Waiting'])
  assert.ok(leave.status === 'rejected')
  const error = leave.reason as TpxError
  assert.deepEqual([error.code, error.message, error.hint], ['ATTACHMENT_NOT_FOUND', 'No "x"', 'Look'])
})

test('ControlClient.call() rejects with CARRIER_FAILED when the stream is lost', async () => {
  const [near, far] = duplexPair()
  const client = new ControlClient(near)
  const pending = client.call('status', {})
  near.destroy()
  far.destroy()
  await assert.rejects(pending, { code: 'CARRIER_FAILED' })
  await assert.rejects(client.call('status', {}), { code: 'CARRIER_FAILED' })
})

test('a reset of the stream fails the call, and nothing else', async () => {
  const [near, far] = duplexPair()
  serveControl(far, () => new Promise(() => {}))
  const pending = new ControlClient(near).call('status', {})
  near.destroy(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }))
  far.destroy(new Error('read ECONNRESET'))
  await assert.rejects(pending, { code: 'CARRIER_FAILED' })
  await new Promise((resolve) => setImmediate(resolve))
})
