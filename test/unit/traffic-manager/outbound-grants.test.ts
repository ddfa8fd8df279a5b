import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { Metadata } from '@grpc/grpc-js'
import { callOptions } from '../../../src/tunnel/call-options.ts'
import { EnsureAgentRequestSchema, type InterceptInfoSnapshot, type SessionInfo } from '../../../src/wire/generated/manager_pb.ts'
import { OUTBOUND_KEY_METADATA, OUTBOUND_MECHANISM, STREAM_KEY } from '../../../src/wire/versions.ts'
import { startAgentApi } from './agent-fixture.ts'
import { eventually, startManager } from './manager-fixture.ts'

type Manager = Awaited<ReturnType<typeof startManager>>

const KEY = 'a'.repeat(32)

/** @returns what the trailer says */
async function ensure({ client }: Manager, session: SessionInfo, { key = KEY, name = 'web-app' } = {}): Promise<string> {
  const metadata = new Metadata()
  if (key) metadata.set(OUTBOUND_KEY_METADATA, key)
  let answer = ''
  const onTrailer = (trailer: Metadata): void => {
    answer = String(trailer.get(OUTBOUND_KEY_METADATA)[0] ?? '')
  }
  await client.ensureAgent(create(EnsureAgentRequestSchema, { name, session }), metadata, callOptions({ limitMs: 5000, onTrailer }))
  return answer
}

describe('EnsureAgent with the wish to have agents dial', () => {
  it('takes the key of those who have one, and does nothing for the others', async () => {
    await using manager = await startManager()
    const session = await manager.arrive()
    assert.equal(await ensure(manager, session), 'taken')
    assert.equal(await ensure(manager, session, { key: '' }), '')
    await assert.rejects(ensure(manager, session, { key: 'guessable' }))
  })

  it("agents of that workload hear of it under the client's alias, until the client's session ends", async () => {
    await using manager = await startManager()
    await using agents = await startAgentApi({ ports: manager.ports })
    const session = await manager.arrive()
    const agent = await agents.arrive()
    const snapshots: InterceptInfoSnapshot[] = []
    const watch = agents.client
      .watchIntercepts(agent, agents.metadata)
      .on('data', (snapshot: InterceptInfoSnapshot) => snapshots.push(snapshot))
    watch.on('error', () => {})
    await ensure(manager, session, { key: 'b'.repeat(32), name: 'other' })
    await ensure(manager, session)
    const shown = await eventually(() => snapshots.at(-1)?.intercepts[0])
    assert.deepEqual([shown.spec?.mechanism, shown.metadata[STREAM_KEY], snapshots.at(-1)?.intercepts.length], [OUTBOUND_MECHANISM, KEY, 1])
    assert.ok(
      !JSON.stringify(shown, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)).includes(session.sessionId),
    )
    await manager.client.depart(session)
    await eventually(() => snapshots.at(-1)?.intercepts.length === 0)
    watch.cancel()
  })
})
