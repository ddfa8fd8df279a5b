import assert from 'node:assert/strict'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { TpxError } from '../../../src/base/error.ts'
import { silentLogger } from '../../../src/base/logger.ts'
import { VirtualAddresses } from '../../../src/tunnel/virtual-addresses.ts'
import { VirtualDialer } from '../../../src/tunnel/virtual-dialer.ts'
import { WorkloadDialers } from '../../../src/tunnel/workload-dialer.ts'
import { FakeAgent } from './fake-agent.ts'
import { eventually, isUp, startFixture } from './tunnel-fixture.ts'

const source = { address: '198.18.0.1', port: 40_000 }
const options = (): { signal: AbortSignal; source: typeof source } => ({ signal: AbortSignal.timeout(3000), source })

async function startDialers(t: TestContext) {
  const fixture = await startFixture(t)
  await eventually('up', () => isUp(fixture))
  const { carrier, session } = fixture
  const dialers = new WorkloadDialers({ carrier, graceMs: () => 10_000, logger: silentLogger(), manager: session })
  t.after(() => dialers.close())
  const addPod = (podName: string): FakeAgent => {
    const agent = new FakeAgent('')
    agent.name = podName
    fixture.agents.set(podName, agent)
    fixture.manager.pods = [...fixture.manager.pods, { podName, workloadName: 'db' }]
    fixture.manager.publish()
    return agent
  }
  const dial = async (): Promise<string> => text(await dialers.of('db').tcp({ address: '10.30.0.7', port: 5432 }, options()))
  return { ...fixture, addPod, dial, dialers }
}

test('WorkloadDialer announces its key and dials through an agent of the workload', async (t) => {
  const { addPod, dial, dialers, manager } = await startDialers(t)
  dialers.follow(['db'])
  assert.equal(dialers.missing(), 'Waiting for the traffic-agent of "db"')
  addPod('db-1')
  await eventually('a pipe', () => dialers.missing() === undefined)
  assert.equal(await dial(), 'db-1 dials tcp 10.30.0.7:5432 198.18.0.1:40000')
  assert.equal(manager.calls.filter((call) => call === 'ensureAgent').length, 1)
})

test('WorkloadDialer goes on with the same Pod when the strand is lost, and with another one when the Pod ends', async (t) => {
  const { addPod, agents, dial, dialers, manager } = await startDialers(t)
  const first = addPod('db-1')
  dialers.follow(['db'])
  await eventually('a pipe', () => dialers.missing() === undefined)
  assert.match(await dial(), /^db-1 /)
  const { mux } = dialers.of('db').state.value
  addPod('db-2')
  first.cut()
  await eventually('lost', () => dialers.missing() !== undefined)
  await eventually('back', () => dialers.missing() === undefined)
  assert.equal(dialers.of('db').state.value.mux, mux)
  agents.delete('db-1')
  manager.pods = manager.pods.filter(({ podName }) => podName !== 'db-1')
  manager.publish()
  first.restart()
  await eventually('another pipe', () => dialers.of('db').state.value.mux !== mux && dialers.missing() === undefined)
  assert.match(await dial(), /^db-2 /)
})

test('WorkloadDialer announces the same key to a manager that began anew, while the pipe goes on', async (t) => {
  const { addPod, dial, dialers, manager } = await startDialers(t)
  addPod('db-1')
  dialers.follow(['db'])
  await eventually('a pipe', () => dialers.missing() === undefined)
  const { mux } = dialers.of('db').state.value
  manager.cut({ forget: true })
  await eventually('announced again', () => manager.calls.filter((call) => call === 'ensureAgent').length === 2)
  assert.equal(dialers.of('db').state.value.mux, mux)
  assert.match(await dial(), /^db-1 /)
})

test('WorkloadDialer reports a workload that there is not', async (t) => {
  const { dialers, manager } = await startDialers(t)
  manager.ensureError = new TpxError('WORKLOAD_NOT_FOUND', 'There is no workload "nope"')
  dialers.follow(['nope'])
  await eventually('error', () => dialers.error() !== null)
  assert.equal(dialers.error()?.code, 'WORKLOAD_NOT_FOUND')
  dialers.follow([])
  assert.deepEqual([dialers.error(), dialers.missing()], [null, undefined])
})

test('VirtualDialer dials what a virtual address stands for, by whom it is to be dialed', async (t) => {
  const { addPod, data, dialers } = await startDialers(t)
  addPod('db-1')
  const addresses = new VirtualAddresses()
  const block = { isPrefix: true, reason: 'vnat', workload: null } as const
  addresses.configure(
    [
      { ...block, cidr: '10.96.0.0/24', virtual: '246.246.128.0/24' },
      { ...block, cidr: '10.30.0.0/24', virtual: '246.246.129.0/24', workload: 'db' },
      { ...block, cidr: '10.31.0.0/16', isPrefix: false, virtual: '246.246.0.0/17' },
    ],
    [],
  )
  const dialer = new VirtualDialer({ addresses, manager: data, ofWorkload: (workload) => dialers.of(workload) })
  const dial = async (address: string): Promise<string> => {
    const stream = await dialer.tcp({ address, port: 80 }, options())
    stream.end()
    return text(stream)
  }
  assert.match(await dial('10.97.0.1'), /^10\.97\.0\.1 198\.18\.0\.1:40000/)
  assert.match(await dial('246.246.128.9'), /^10\.96\.0\.9 /)
  assert.match(await dial('246.246.129.9'), /^db-1 dials tcp 10\.30\.0\.9:80 /)
  await assert.rejects(dial('246.246.5.5'), { code: 'EHOSTUNREACH' })
  const closes: unknown[] = []
  dialer.udp({ address: '246.246.5.5', port: 53 }, { onClose: (code) => void closes.push(code), onDatagram: () => {} })
  dialer.echo('246.246.5.5', { onClose: (code) => void closes.push(code), onError: () => {}, onReply: () => {} })
  await eventually('told', () => closes.length === 2)
  assert.deepEqual(closes, ['EHOSTUNREACH', 'EHOSTUNREACH'])
})
