import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { TpxError } from '../../../src/base/error.ts'
import type { AttachParams } from '../../../src/wire/control.ts'
import { InterceptDispositionType as Disposition } from '../../../src/wire/generated/manager_pb.ts'
import { FakeAgent } from './fake-agent.ts'
import { FakeManager } from './fake-manager.ts'
import { eventually, type Fixture, isUp, startFixture } from './tunnel-fixture.ts'

/** An app on a port of its own that answers what it got. */
async function startApp(t: TestContext): Promise<number> {
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    void text(socket)
      .then((got) => socket.end(`app got: ${got}`))
      .catch(() => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return (server.address() as net.AddressInfo).port
}

const params = (localPort: number | null, name = 'web-app'): AttachParams => ({
  kind: 'intercept',
  localPort,
  mount: false,
  name,
  portIdentifier: null,
  service: null,
  workload: 'web-app',
})

/** Pods of the workload, each with an agent that knows the key of the first session. */
function addPods(fixture: Fixture, ...names: string[]): FakeAgent[] {
  const agents = names.map(() => new FakeAgent('key-1'))
  for (const [i, name] of names.entries()) fixture.agents.set(name, agents[i]!)
  fixture.manager.pods = names.map((podName) => ({ podName, workloadName: 'web-app' }))
  fixture.manager.publish()
  return agents
}

async function connectThrough(agent: FakeAgent): Promise<string> {
  const stream = await (await agent.session()).open('tcp 127.0.0.1:8080 10.244.0.3:5555')
  stream.end('hello')
  return text(stream)
}

const nobody = (): void => {}

test('attach() resolves when every agent has its session, and connections reach the app honestly', async (t) => {
  const fixture = await startFixture(t)
  const port = await startApp(t)
  const agents = addPods(fixture, 'web-app-1', 'web-app-2')
  fixture.manager.pods.push({ podName: 'other-1', workloadName: 'other' })
  const attachment = await fixture.attachments.attach(params(port), nobody)
  assert.deepEqual(
    [attachment.state, attachment.localPort, attachment.environment, attachment.container, attachment.podIp],
    ['active', port, { GREETING: 'hi' }, 'app', '10.244.0.9'],
  )
  assert.deepEqual(attachment.mounts, [
    { path: '/data', readOnly: false },
    { path: '/secret', readOnly: true },
  ])
  assert.deepEqual(await Promise.all(agents.map(connectThrough)), ['app got: hello', 'app got: hello'])
  assert.deepEqual(fixture.attachments.list({ secrets: false })[0]!.environment, {})
})

test('attach() answers a connection with ECONNREFUSED while the app does not listen', async (t) => {
  const fixture = await startFixture(t)
  const [agent] = addPods(fixture, 'web-app-1')
  await fixture.attachments.attach(params(1), nobody)
  await assert.rejects((await agent!.session()).open('tcp 127.0.0.1:8080'), { code: 'ECONNREFUSED' })
})

test('attach() takes the container port where none is named, and no port twice', async (t) => {
  const fixture = await startFixture(t)
  addPods(fixture, 'web-app-1')
  assert.equal((await fixture.attachments.attach(params(null), nobody)).localPort, 8080)
  await assert.rejects(fixture.attachments.attach(params(8080, 'second'), nobody), { code: 'LOCAL_PORT_TAKEN' })
  await assert.rejects(fixture.attachments.attach(params(9090), nobody), { code: 'ATTACHMENT_EXISTS' })
  assert.equal(fixture.attachments.list({ secrets: true }).length, 1)
})

test("attach() hands on the manager's refusals with code and hint, and holds nothing afterwards", async (t) => {
  const fixture = await startFixture(t)
  fixture.manager.prepareError = new TpxError('PORT_NOT_SUPPORTED', 'Port 80 is numeric', { hint: 'Name the port' })
  await assert.rejects(fixture.attachments.attach(params(1), nobody), {
    code: 'PORT_NOT_SUPPORTED',
    hint: 'Name the port',
    message: 'Port 80 is numeric',
  })
  fixture.manager.prepareError = null
  fixture.manager.createError = new TpxError('PORT_CONFLICT', 'Held by bob@desk', { hint: 'Ask bob' })
  await assert.rejects(fixture.attachments.attach(params(1), nobody), { code: 'PORT_CONFLICT', hint: 'Ask bob' })
  fixture.manager.createError = null
  fixture.manager.disposition = Disposition.AGENT_ERROR
  await assert.rejects(fixture.attachments.attach(params(1), nobody), { code: 'AGENT_NOT_READY' })
  await eventually('removed', () => fixture.manager.intercepts.length === 0)
  assert.deepEqual(fixture.attachments.list({ secrets: true }), [])
})

test('attach() says what it waits for and gives up with the last reason', async (t) => {
  const fixture = await startFixture(t, { attachLimitMs: 600 })
  fixture.manager.pods = [{ podName: 'web-app-1', workloadName: 'web-app' }]
  const texts: string[] = []
  await assert.rejects(
    fixture.attachments.attach(params(1), (said) => void texts.push(said)),
    (error: TpxError) => error.code === 'AGENT_UNREACHABLE' && error.message.includes('web-app-1 (No Pod "web-app-1")'),
  )
  assert.match(texts[0]!, /Asking the traffic-manager/)
  await eventually('removed', () => fixture.manager.intercepts.length === 0)
})

test('leave() ends an attach that is still waiting', async (t) => {
  const fixture = await startFixture(t)
  fixture.manager.disposition = Disposition.WAITING
  const attach = fixture.attachments.attach(params(1), nobody)
  const failed = assert.rejects(attach, { code: 'INTERRUPTED' })
  await eventually('created', () => fixture.manager.intercepts.length === 1)
  await fixture.attachments.leave('web-app')
  await failed
  assert.equal(fixture.manager.intercepts.length, 0)
  await assert.rejects(fixture.attachments.leave('web-app'), { code: 'ATTACHMENT_NOT_FOUND' })
})

test('leave() closes the sessions of the agents and frees name and port', async (t) => {
  const fixture = await startFixture(t)
  const [agent] = addPods(fixture, 'web-app-1')
  await fixture.attachments.attach(params(1), nobody)
  const mux = await agent!.session()
  await fixture.attachments.leave('web-app')
  await eventually('drained', () => mux.isDraining)
  await eventually('closed', () => mux.pipe.isClosed)
  await fixture.attachments.attach(params(1), nobody)
})

test('An attachment follows its Pods: new ones are reached, lost streams are opened again', async (t) => {
  const fixture = await startFixture(t)
  const port = await startApp(t)
  const [first] = addPods(fixture, 'web-app-1')
  await fixture.attachments.attach(params(port), nobody)
  first!.cut()
  assert.equal(await connectThrough(first!), 'app got: hello')
  const [second] = addPods(fixture, 'web-app-2')
  await second!.session()
  const old = first!.inbound!
  assert.equal(old.pipe.isClosed, false)
  first!.cut()
  await eventually('old Pod', () => fixture.attachments.list({ secrets: false })[0]!.state === 'active' && !old.pipe.isUp)
})

test('An attachment is made again in a new session, with its new key and its old ports', async (t) => {
  const fixture = await startFixture(t)
  const port = await startApp(t)
  const [agent] = addPods(fixture, 'web-app-1')
  const before = await fixture.attachments.attach(params(port), nobody)
  agent!.key = 'key-2'
  fixture.manager.cut({ forget: true })
  agent!.restart()
  await eventually('restored', () => fixture.manager.intercepts.length === 1)
  await agent!.session()
  const [after] = fixture.attachments.list({ secrets: true })
  await eventually('active', () => fixture.attachments.list({ secrets: true })[0]!.state === 'active')
  assert.deepEqual([after!.localPort, after!.sftpPort], [before.localPort, before.sftpPort])
  assert.deepEqual(fixture.manager.wishedKeys, ['', 'key-1'])
  assert.equal(await connectThrough(agent!), 'app got: hello')
})

test('An attachment that was left while the manager was away is removed when it is back', async (t) => {
  const fixture = await startFixture(t)
  addPods(fixture, 'web-app-1')
  await fixture.attachments.attach(params(1), nobody)
  fixture.link.down = new TpxError('CARRIER_FAILED', 'no link')
  fixture.manager.cut()
  await eventually('down', () => fixture.session.state.value.leg.state === 'down')
  await fixture.attachments.leave('web-app')
  assert.equal(fixture.manager.intercepts.length, 1)
  fixture.link.down = null
  await eventually('up', () => isUp(fixture))
  await eventually('removed', () => fixture.manager.intercepts.length === 0)
})

test('The port of the volumes leads to an agent, and resets when the path is frozen or nobody answers', async (t) => {
  const fixture = await startFixture(t)
  const [agent] = addPods(fixture, 'web-app-1')
  const { sftpPort } = await fixture.attachments.attach(params(1), nobody)
  const socket = net.connect(sftpPort, '127.0.0.1')
  socket.write('init')
  assert.equal(String((await once(socket, 'data'))[0]), 'sftp init')
  const reset = once(socket, 'error')
  fixture.session.onFrozen()
  assert.equal(((await reset)[0] as NodeJS.ErrnoException).code, 'ECONNRESET')
  const second = net.connect(sftpPort, '127.0.0.1')
  second.write('again')
  await once(second, 'data')
  const lost = once(second, 'close')
  second.on('error', () => {})
  agent!.cut()
  await lost
  fixture.agents.clear()
  const third = net.connect(sftpPort, '127.0.0.1')
  assert.equal(((await once(third, 'error'))[0] as NodeJS.ErrnoException).code, 'ECONNRESET')
})

test('A tunnel after a crash goes on: same session, same intercept, same port of the volumes', async (t) => {
  const crashed = await startFixture(t)
  const port = await startApp(t)
  const [agent] = addPods(crashed, 'web-app-1')
  const before = await crashed.attachments.attach(params(port), nobody)
  const snapshot = { attachments: crashed.attachments.snapshot(), sessionId: crashed.session.state.value.sessionId }
  crashed.link.down = new TpxError('CARRIER_FAILED', 'crashed')
  crashed.manager.cut()
  agent!.restart()
  await eventually('down', () => crashed.session.state.value.leg.state === 'down')
  await crashed.attachments.leaveAll()

  const fixture = await startFixture(t, { after: { fixture: crashed, snapshot } })
  await eventually('active', () => fixture.attachments.list({ secrets: true })[0]?.state === 'active')
  assert.equal(await connectThrough(agent!), 'app got: hello')
  const [after] = fixture.attachments.list({ secrets: true })
  assert.deepEqual([after!.sftpPort, after!.localPort, after!.environment], [before.sftpPort, port, { GREETING: 'hi' }])
  assert.deepEqual([fixture.manager.arrivals, fixture.manager.calls.filter((call) => call === 'createIntercept').length], [1, 1])
})

test('A tunnel after a crash makes its attachments anew when the manager has forgotten them', async (t) => {
  const manager = await new FakeManager().start()
  const snapshot = { attachments: [{ params: params(4711), sftpPort: 0 }], sessionId: 'session-gone' }
  const fixture = await startFixture(t, { after: { fixture: { agents: new Map(), manager }, snapshot } })
  await eventually('active', () => fixture.attachments.list({ secrets: true })[0]?.state === 'active')
  assert.equal(fixture.attachments.list({ secrets: true })[0]!.localPort, 4711)
})
