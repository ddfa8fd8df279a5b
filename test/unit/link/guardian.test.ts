import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { duplexPair } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type Docker from 'dockerode'
import { silentLogger } from '../../../src/base/logger.ts'
import { Guardian } from '../../../src/link/guardian.ts'
import { TunnelControl } from '../../../src/link/tunnel-control.ts'
import { serveControl } from '../../../src/wire/control-channel.ts'

const missing = Object.assign(new Error('no such container'), { statusCode: 404 })

/** A Docker Engine that only writes down what it is told. */
function fakeDocker(log: string[], states: Record<string, boolean>) {
  const events = new PassThrough()
  const docker = {
    getContainer: (id: string) => ({
      inspect: async () => {
        if (!(id in states)) throw missing
        return { State: { Running: states[id], Status: states[id] ? 'running' : 'exited' } }
      },
      remove: async () => void log.push(`remove ${id}`),
      start: async () => void log.push(`start ${id}`),
      stop: async () => void log.push(`stop ${id}`),
    }),
    getEvents: async () => events,
    getVolume: (name: string) => ({ remove: async () => void log.push(`remove volume ${name}`) }),
    listContainers: async ({ filters }: { filters: { label: string[] } }) => {
      const [owner, role] = filters.label
      if (owner === 'dev.tpx.connection=c') {
        const Labels = { 'dev.tpx.attachments': 'web', 'dev.tpx.owner': 'me', 'dev.tpx.role': 'app' }
        return [{ Created: 0, Id: 'app', Labels, Names: ['/app'], State: 'running' }]
      }
      assert.equal(owner, 'dev.tpx.owner=me')
      const Id = role?.split('=')[1] ?? ''
      return [{ Created: 0, Id, Labels: { 'dev.tpx.role': Id }, Names: [`/${Id}`], State: 'running' }]
    },
    listVolumes: async () => ({ Volumes: [{ Labels: {}, Mountpoint: '/volumes/data/_data', Name: 'data' }] }),
  }
  return {
    docker: docker as unknown as Docker,
    emit: (name: string, Action: string) => events.write(`${JSON.stringify({ Action, Actor: { Attributes: { name } } })}\n`),
  }
}

function start(states: Record<string, boolean> = {}, reportMs = 15_000) {
  const log: string[] = []
  const { docker, emit } = fakeDocker(log, states)
  const control = new TunnelControl()
  const [near, far] = duplexPair()
  serveControl(far, async (method, params) => {
    if (method !== 'resume' && method !== 'snapshot') log.push(`${method} ${JSON.stringify(params)}`)
  })
  control.adopt(near)
  const guardian = new Guardian({
    connection: 'c',
    control,
    docker: async () => docker,
    holderContainer: 'holder',
    logger: silentLogger(),
    quit: () => log.push('quit link'),
    reportMs,
    tunnelContainer: 'tunnel',
    tunnelRuns: () => log.push('tunnel runs'),
  })
  return { emit, guardian, log }
}

test('Guardian.release() takes back app, attachment, mount and volume, in this order', async () => {
  const { guardian, log } = start()
  const owner = {}
  guardian.own(owner, { attachments: ['web'], owner: 'me', quit: false })
  await guardian.release(owner)
  assert.deepEqual(log, ['stop app', 'remove app', 'leave {"name":"web"}', 'stop mount', 'remove mount', 'remove volume data'])
  await guardian.release(owner)
  assert.equal(log.length, 6)
})

test('Guardian.release() does nothing after disown', async () => {
  const { guardian, log } = start()
  const owner = {}
  guardian.own(owner, { attachments: ['web'], owner: 'me', quit: true })
  guardian.disown(owner)
  await guardian.release(owner)
  assert.deepEqual(log, [])
})

test('Guardian.release() ends the connection where quit is set, but leaves that to another owner who still works', async () => {
  const { guardian, log } = start()
  const [one, two] = [{}, {}]
  guardian.own(one, { attachments: [], owner: 'me', quit: true })
  guardian.own(two, { attachments: [], owner: 'me', quit: false })
  await guardian.release(one)
  assert.ok(!log.includes('quit link'))
  log.length = 0
  await guardian.release(two)
  assert.deepEqual(log.slice(-4), ['quit {}', 'remove tunnel', 'remove holder', 'quit link'])
})

test('Guardian.watch() takes back what the owner of before has not claimed in time, and leaves the rest', async () => {
  for (const isClaimed of [false, true]) {
    const { guardian, log } = start({ holder: true, tunnel: true }, 40)
    if (isClaimed) guardian.own({}, { attachments: ['web'], owner: 'me', quit: false })
    const end = new AbortController()
    void guardian.watch(end.signal)
    await sleep(120)
    assert.equal(log.includes('remove app'), !isClaimed)
    assert.equal(log.includes('leave {"name":"web"}'), !isClaimed)
    end.abort()
  }
})

test('Guardian.watch() restarts a tunnel that died, also one that was dead before', async () => {
  const { emit, guardian, log } = start({ holder: true, tunnel: false })
  const end = new AbortController()
  const watching = guardian.watch(end.signal)
  await sleep(30)
  assert.deepEqual(log, ['start tunnel'])
  emit('tunnel', 'start')
  await sleep(10)
  assert.deepEqual(log, ['start tunnel', 'tunnel runs'])
  guardian.quitting()
  emit('tunnel', 'die')
  await sleep(30)
  assert.equal(log.length, 2)
  end.abort()
  void watching
})

test('Guardian.watch() ends the connection when the holder is gone', async () => {
  const { emit, guardian, log } = start({ holder: true, tunnel: true })
  const end = new AbortController()
  void guardian.watch(end.signal)
  guardian.own({}, { attachments: ['web'], owner: 'me', quit: false })
  await sleep(20)
  emit('holder', 'die')
  await sleep(30)
  assert.ok(log.indexOf('remove app') < log.indexOf('quit {}'))
  assert.deepEqual(log.slice(-2), ['remove holder', 'quit link'])
  end.abort()
})
