import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { infoForAgent, infoForClient } from '../../../src/traffic-manager/attachment.ts'
import type { AgentSession } from '../../../src/traffic-manager/sessions.ts'
import { AGENT_TTL_MS, CLIENT_TTL_MS, State } from '../../../src/traffic-manager/state.ts'
import { InterceptDispositionType as Disposition, ReviewInterceptRequestSchema } from '../../../src/wire/generated/manager_pb.ts'
import { STREAM_KEY } from '../../../src/wire/versions.ts'
import { aClient, anAgent, anAgentInfo, aSpec } from './manager-fixture.ts'

function aState() {
  let now = Date.UTC(2026, 0, 2, 3, 4, 5)
  const state = new State(() => now)
  return { pass: (ms: number) => void (now += ms), state }
}

function accept(state: State, agent: AgentSession, id: string, init = {}): void {
  state.review(agent, create(ReviewInterceptRequestSchema, { disposition: Disposition.ACTIVE, id, podIp: agent.info.podIp, ...init }))
}

describe('State: sessions', () => {
  it('expire() ends a client that is silent for longer than its time to live, and frees its ports', () => {
    const { pass, state } = aState()
    const client = aClient(state)
    state.attach(client, aSpec())
    pass(CLIENT_TTL_MS - 1)
    state.clients.touch(client)
    pass(CLIENT_TTL_MS)
    assert.deepEqual(state.expire().clients, [])
    pass(1)
    assert.deepEqual(state.expire().clients, [client])
    assert.ok(client.ended.aborted)
    assert.deepEqual(state.attachments(), [])
  })

  it('expire() waits for a client that may be cut off for a while, whose port others may have meanwhile', () => {
    const { pass, state } = aState()
    const client = aClient(state)
    client.graceMs = 600_000
    state.attach(client, aSpec())
    pass(CLIENT_TTL_MS + 600_000)
    assert.deepEqual(state.expire().clients, [])
    state.attach(aClient(state, { installId: 'other' }), aSpec())
    assert.deepEqual(state.attachmentsOf(client), [])
    pass(1)
    assert.deepEqual(state.expire().clients, [client])
  })

  it('attach() takes the stream key of before, unless somebody has it or it is none', () => {
    const { state } = aState()
    const key = 'ab'.repeat(16)
    assert.equal(state.attach(aClient(state), aSpec(), key).streamKey, key)
    assert.notEqual(state.attach(aClient(state), aSpec({ agent: 'other' }), key).streamKey, key)
    assert.match(state.attach(aClient(state), aSpec({ agent: 'third' }), 'short').streamKey, /^[0-9a-f]{32}$/)
  })

  it('expire() ends a silent agent after its own time to live', () => {
    const { pass, state } = aState()
    const agent = anAgent(state)
    pass(AGENT_TTL_MS + 1)
    assert.deepEqual(state.expire().agents, [agent])
  })

  it('arriveAsClient() gives every session its own id and a public alias that is not the id', () => {
    const { state } = aState()
    const [a, b] = [aClient(state), aClient(state)]
    assert.equal(new Set([a.id, b.id, a.alias, b.alias]).size, 4)
    assert.match(a.id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  })

  it('arriveAsAgent() replaces the session of the same Pod without the attachment losing its agent', () => {
    const { state } = aState()
    const first = anAgent(state)
    const attachment = state.attach(aClient(state), aSpec())
    const second = state.arriveAsAgent(anAgentInfo(), first.identity)
    assert.ok(first.ended.aborted)
    assert.deepEqual(state.agents.values(), [second])
    assert.equal(attachment.disposition, Disposition.WAITING)
  })

  it('changes tells of a burst once', async () => {
    const { state } = aState()
    let calls = 0
    state.changes.subscribe(() => calls++)
    anAgent(state)
    anAgent(state)
    state.attach(aClient(state), aSpec())
    await new Promise(setImmediate)
    assert.equal(calls, 1)
  })
})

describe('State: attachments', () => {
  it('attach() names the holder of a port, the attachment and the time when somebody else has it', () => {
    const { state } = aState()
    state.attach(aClient(state, { name: 'ada@laptop' }), aSpec({ name: 'hers' }))
    assert.throws(() => state.attach(aClient(state, { name: 'bob@desk' }), aSpec({ name: 'his' })), {
      code: 'PORT_CONFLICT',
      hint: 'Ask ada@laptop to run: tpx leave hers',
      message: 'Port 8080/TCP of Deployment "web-app" is held by "ada@laptop" as "hers" since 2026-01-02T03:04:05.000Z',
    })
  })

  it('attach() refuses a second attachment of the same name, and lets other ports and namespaces be', () => {
    const { state } = aState()
    const client = aClient(state)
    state.attach(client, aSpec())
    assert.throws(() => state.attach(client, aSpec({ containerPort: 9090 })), { code: 'ATTACHMENT_EXISTS' })
    state.attach(client, aSpec({ containerPort: 9090, name: 'other-port' }))
    state.attach(client, aSpec({ name: 'other-namespace', namespace: 'bank' }))
  })

  it("attach() takes a port from a silent tpx client: after 11 s from one's own, after 31 s from somebody else's", () => {
    const { pass, state } = aState()
    const lost = aClient(state, { installId: 'laptop' })
    const first = state.attach(lost, aSpec())
    const again = aClient(state, { installId: 'laptop' })
    const other = aClient(state, { installId: 'desk' })
    assert.throws(() => state.attach(again, aSpec()), { code: 'PORT_CONFLICT' })
    pass(11_001)
    assert.throws(() => state.attach(other, aSpec()), { code: 'PORT_CONFLICT' })
    state.clients.touch(again)
    const second = state.attach(again, aSpec())
    assert.equal(first.disposition, Disposition.REMOVED)
    assert.deepEqual(state.attachments(), [second])
    pass(20_000)
    assert.throws(() => state.attach(other, aSpec()), { code: 'PORT_CONFLICT' })
    pass(11_001)
    state.attach(other, aSpec())
    assert.deepEqual(state.attachmentsOf(again), [])
  })

  it('attach() never takes a port from a silent Telepresence client', () => {
    const { pass, state } = aState()
    state.attach(aClient(state, { product: 'telepresence' }), aSpec())
    pass(CLIENT_TTL_MS)
    assert.throws(() => state.attach(aClient(state), aSpec({ name: 'mine' })), { code: 'PORT_CONFLICT' })
  })

  it('review() makes a waiting attachment active, and fills in what the agent said', () => {
    const { state } = aState()
    const client = aClient(state)
    const agent = anAgent(state)
    const attachment = state.attach(client, aSpec())
    assert.equal(attachment.disposition, Disposition.WAITING)
    accept(state, agent, infoForAgent(attachment).id, { environment: { A: '1' }, sftpPort: 22 })
    const info = infoForClient(attachment)
    assert.equal(info.disposition, Disposition.ACTIVE)
    assert.deepEqual([info.environment, info.podName, info.apiPort, info.sftpPort], [{ A: '1' }, agent.info.podName, 9900, 22])
    assert.equal(info.id, `${client.id}:web-app`)
  })

  it('infoForClient() takes environment and mounts from the agent itself when its verdict lacks them', () => {
    const { state } = aState()
    const agent = anAgent(state)
    const attachment = state.attach(aClient(state), aSpec())
    accept(state, agent, infoForAgent(attachment).id)
    const info = infoForClient(attachment)
    assert.deepEqual([info.environment, info.mountPoint, info.mounts], [{ GREETING: 'hello' }, '/mounts/web', { '/etc/web': 1 }])
  })

  it('infoForAgent() shows the alias and the stream key, never the session id or the environment', () => {
    const { state } = aState()
    const client = aClient(state)
    const agent = anAgent(state)
    const attachment = state.attach(client, aSpec())
    accept(state, agent, infoForAgent(attachment).id, { environment: { SECRET: 'x' } })
    const shown = infoForAgent(attachment)
    assert.equal(shown.id, `${client.alias}:web-app`)
    assert.equal(shown.clientSession?.sessionId, client.alias)
    assert.match(shown.metadata[STREAM_KEY] ?? '', /^[0-9a-f]{32}$/)
    assert.equal(shown.metadata[STREAM_KEY], infoForClient(attachment).metadata[STREAM_KEY])
    const text = JSON.stringify(shown, (_, value: unknown) => (typeof value === 'bigint' ? Number(value) : value))
    assert.ok(!text.includes(client.id) && !text.includes('SECRET'))
  })

  it('review() refuses an agent of another workload, and one that guesses the session id', () => {
    const { state } = aState()
    const client = aClient(state)
    const attachment = state.attach(client, aSpec())
    const stranger = anAgent(state, { name: 'other' })
    assert.throws(() => accept(state, stranger, infoForAgent(attachment).id), { code: 'ATTACHMENT_NOT_FOUND' })
    assert.throws(() => accept(state, anAgent(state), `${client.id}:web-app`), { code: 'ATTACHMENT_NOT_FOUND' })
  })

  it('an agent that leaves hands over to another that accepted, without a gap', () => {
    const { state } = aState()
    const [first, second] = [anAgent(state), anAgent(state)]
    const attachment = state.attach(aClient(state), aSpec())
    accept(state, first, infoForAgent(attachment).id)
    accept(state, second, infoForAgent(attachment).id)
    assert.equal(infoForClient(attachment).podName, first.info.podName)
    state.agents.remove(first.id)
    assert.equal(attachment.disposition, Disposition.ACTIVE)
    assert.equal(infoForClient(attachment).podName, second.info.podName)
  })

  it('an attachment waits when its agent leaves and others remain, has no agent when none does, and waits again when one comes', () => {
    const { state } = aState()
    const [first, second] = [anAgent(state), anAgent(state)]
    const attachment = state.attach(aClient(state), aSpec())
    accept(state, first, infoForAgent(attachment).id)
    state.agents.remove(first.id)
    assert.equal(attachment.disposition, Disposition.WAITING)
    state.agents.remove(second.id)
    assert.equal(attachment.disposition, Disposition.NO_AGENT)
    anAgent(state)
    assert.equal(attachment.disposition, Disposition.WAITING)
  })

  it('detach() shows the attachment as removed to agents for a while, not to its owner', () => {
    const { pass, state } = aState()
    const client = aClient(state)
    const agent = anAgent(state)
    const attachment = state.attach(client, aSpec())
    assert.ok(state.detach(attachment))
    assert.ok(!state.detach(attachment))
    assert.deepEqual(state.attachmentsOf(client), [])
    assert.deepEqual(state.removedFor(agent).map(infoForAgent)[0]?.disposition, Disposition.REMOVED)
    pass(60_001)
    state.agents.touch(agent)
    state.expire()
    assert.deepEqual(state.removedFor(agent), [])
  })

  it('attach() says so when the agents do not know the mechanism', () => {
    const { state } = aState()
    anAgent(state)
    assert.equal(state.attach(aClient(state), aSpec({ mechanism: 'http' })).disposition, Disposition.NO_MECHANISM)
  })
})
