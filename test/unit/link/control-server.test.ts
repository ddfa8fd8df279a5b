import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { duplexPair } from 'node:stream'
import { after, test } from 'node:test'
import { silentLogger } from '../../../src/base/logger.ts'
import { type ControlServerParts, serveCli } from '../../../src/link/control-server.ts'
import { TunnelControl } from '../../../src/link/tunnel-control.ts'
import { ControlClient, serveControl } from '../../../src/wire/control-channel.ts'
import type { LinkStatus } from '../../../src/wire/control.ts'

const dir = mkdtempSync(join(tmpdir(), 'tpx-control-'))
after(() => rmSync(dir, { recursive: true }))

const status = { carrier: 'unix', pid: 1 } as LinkStatus
let count = 0

async function start(): Promise<{
  calls: unknown[][]
  client: ControlClient
  control: TunnelControl
  released: Promise<unknown>
  stop: () => void
}> {
  const calls: unknown[][] = []
  const control = new TunnelControl()
  let resolveReleased: (value: unknown) => void = () => {}
  const released = new Promise((resolve) => (resolveReleased = resolve))
  const parts: ControlServerParts = {
    control,
    guardian: {
      disown: () => calls.push(['disown']),
      own: (_owner, ownership) => calls.push(['own', ownership]),
      quitting: () => calls.push(['quitting']),
      release: async () => resolveReleased(true),
    },
    logger: silentLogger(),
    onEnvironment: (variables, choice) => void calls.push(['environment', variables, choice]),
    quit: () => calls.push(['quit']),
    status: async () => status,
    tunnelContainer: 'tunnel',
  }
  const path = join(dir, `${(count += 1)}.sock`)
  const server = createServer({ allowHalfOpen: true }, (socket) => serveCli(socket, parts)).listen(path)
  await once(server, 'listening')
  const socket = connect(path)
  return { calls, client: new ControlClient(socket), control, released, stop: () => void server.close() }
}

test('serveCli() answers link.* itself and releases the owner when the connection closes', async () => {
  const { calls, client, released, stop } = await start()
  assert.deepEqual(await client.call('link.status', {}), status)
  await client.call('link.own', { attachments: ['a'], owner: 'abc', quit: true })
  await client.call('link.disown', {})
  assert.deepEqual(calls, [['own', { attachments: ['a'], owner: 'abc', quit: true }], ['disown']])
  const choice = { context: 'dev', kubeconfig: '/config', managerNamespace: 'ambassador', namespace: 'default' }
  await client.call('link.environment', { choice, variables: { PATH: '/bin' } })
  assert.deepEqual(calls.pop(), ['environment', { PATH: '/bin' }, choice])
  await assert.rejects(client.forward('link.environment', {}), { code: 'USAGE' })
  await assert.rejects(client.forward('link.own', {}), { code: 'USAGE' })
  await assert.rejects(client.forward('link.what', {}), { code: 'USAGE' })
  client.close()
  await released
  stop()
})

test('serveCli() answers link.quit before the link ends', async () => {
  const { calls, client, stop } = await start()
  await client.call('link.quit', {})
  assert.deepEqual(calls, [['quitting']])
  client.close()
  stop()
})

test('serveCli() forwards everything else to the tunnel, with progress, and waits for one that comes late', async () => {
  const { client, control, stop } = await start()
  const progress: string[] = []
  const answer = client.call('list', { namespace: null }, { onProgress: (text) => progress.push(text) })
  const [near, far] = duplexPair()
  serveControl(far, async (method, params, tell) => {
    tell('working')
    return [method, params]
  })
  control.adopt(near)
  assert.deepEqual(await answer, ['list', { namespace: null }])
  assert.deepEqual(progress, ['working'])
  far.destroy()
  client.close()
  stop()
})

test('serveCli() passes the error of the tunnel on, and tells when its stream is lost', async () => {
  const { client, control, stop } = await start()
  const [near, far] = duplexPair()
  serveControl(far, async (method) => {
    if (method === 'leave') throw Object.assign(new Error('No such thing'), {})
    return new Promise(() => {})
  })
  control.adopt(near)
  await assert.rejects(client.call('leave', { name: 'x' }), { code: 'BUG', message: 'No such thing' })
  const lost = assert.rejects(client.call('status', {}), { code: 'CARRIER_FAILED' })
  setTimeout(() => near.destroy(), 20)
  await lost
  assert.equal(control.isUp, false)
  client.close()
  stop()
})

test('TunnelControl.get() gives up with TUNNEL_FAILED', async () => {
  await assert.rejects(new TunnelControl().get(10, 'my-tunnel'), { code: 'TUNNEL_FAILED', hint: 'docker logs my-tunnel' })
})
