import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { EmptySchema } from '@bufbuild/protobuf/wkt'
import { Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { agentAuthenticator } from '../../../src/traffic-manager/agent-authenticator.ts'
import {
  ClientInfoSchema,
  InterceptDispositionType as Disposition,
  type InterceptInfoSnapshot,
  RemainRequestSchema,
  ReviewInterceptRequestSchema,
  SessionInfoSchema,
} from '../../../src/wire/generated/manager_pb.ts'
import { grpcStatus } from '../../../src/wire/grpc.ts'
import { bearer, fakeTokenReviews, startAgentApi } from './agent-fixture.ts'
import { aClient, anAgentInfo, aSpec, eventually, fakePorts } from './manager-fixture.ts'

const hasStatus = (code: status) => (error: unknown) => grpcStatus(error) === code

describe("agents' API", () => {
  it('lets a Pod in that says who it is, and shows it the attachments of its own workload under an alias', async () => {
    const { ports, state } = fakePorts()
    await using agents = await startAgentApi({ ports })
    const client = aClient(state)
    state.attach(client, aSpec())
    state.attach(client, aSpec({ agent: 'other', name: 'other' }))
    const session = await agents.arrive()
    const snapshots: InterceptInfoSnapshot[] = []
    const watch = agents.client
      .watchIntercepts(session, agents.metadata)
      .on('data', (snapshot: InterceptInfoSnapshot) => snapshots.push(snapshot))
    watch.on('error', () => {})
    const [shown] = (await eventually(() => snapshots[0])).intercepts
    assert.deepEqual([shown?.id, snapshots[0]?.intercepts.length], [`${client.alias}:web-app`, 1])
    const review = { disposition: Disposition.ACTIVE, environment: { A: '1' }, id: shown!.id, session }
    await agents.client.reviewIntercept(create(ReviewInterceptRequestSchema, review), agents.metadata)
    await eventually(() => snapshots.at(-1)?.intercepts[0]?.disposition === Disposition.ACTIVE)
    assert.equal(state.find(client, 'web-app')?.disposition, Disposition.ACTIVE)
    state.detach(state.find(client, 'web-app')!)
    await eventually(() => snapshots.at(-1)?.intercepts[0]?.disposition === Disposition.REMOVED)
    watch.cancel()
  })

  it('refuses calls without token, with a bad token, and for another Pod or workload', async () => {
    const { ports } = fakePorts()
    await using agents = await startAgentApi({ ports })
    const { client, metadata } = agents
    await assert.rejects(client.arriveAsAgent(anAgentInfo()), hasStatus(status.UNAUTHENTICATED))
    await assert.rejects(client.arriveAsAgent(anAgentInfo(), bearer('forged')), hasStatus(status.UNAUTHENTICATED))
    for (const lie of [{ podName: 'web-app-2' }, { namespace: 'bank' }, { podUid: 'x' }, { name: 'other' }, { kind: 'StatefulSet' }]) {
      await assert.rejects(client.arriveAsAgent(anAgentInfo(lie), metadata), hasStatus(status.PERMISSION_DENIED), JSON.stringify(lie))
    }
  })

  it("refuses another Pod's session id, clients' methods, and a session that is gone", async () => {
    const { ports } = fakePorts()
    await using agents = await startAgentApi({ ports })
    const session = await agents.arrive()
    const remain = create(RemainRequestSchema, { session })
    await agents.client.remain(remain, agents.metadata)
    await assert.rejects(agents.client.remain(remain, bearer('token-of-web-app-2')), hasStatus(status.NOT_FOUND))
    await assert.rejects(agents.client.arriveAsClient(create(ClientInfoSchema), agents.metadata), hasStatus(status.UNIMPLEMENTED))
    const none = agents.client.watchIntercepts(create(SessionInfoSchema), agents.metadata)
    const error = await new Promise<ServiceError>((resolve) => none.on('data', () => {}).on('error', resolve))
    assert.equal(error.code, status.NOT_FOUND)
    await agents.client.depart(session, agents.metadata)
    await assert.rejects(agents.client.remain(remain, agents.metadata), hasStatus(status.NOT_FOUND))
    assert.equal((await agents.client.version(create(EmptySchema))).name, 'OSS Traffic Manager')
  })
})

describe('agentAuthenticator()', () => {
  it('asks once a minute for a good token, and every time for a bad one', async () => {
    const reviews = fakeTokenReviews()
    let now = 0
    const authenticate = agentAuthenticator(reviews, () => now)
    const good = bearer('token-of-a-1')
    assert.deepEqual(await authenticate(good), { namespace: 'shop', podName: 'a-1', podUid: 'uid-of-a-1' })
    await Promise.all([authenticate(good), authenticate(good)])
    assert.equal(reviews.asked.length, 1)
    now = 60_000
    await authenticate(good)
    assert.equal(reviews.asked.length, 2)
    for (let n = 0; n < 2; n++) await assert.rejects(authenticate(bearer('forged')), { code: status.UNAUTHENTICATED })
    assert.equal(reviews.asked.length, 4)
    await assert.rejects(authenticate(new Metadata()), { code: status.UNAUTHENTICATED })
  })

  it('refuses a token of another audience, and one that belongs to no Pod', async () => {
    const user = {
      extra: { 'authentication.kubernetes.io/pod-name': ['a'], 'authentication.kubernetes.io/pod-uid': ['u'] },
      username: 'system:serviceaccount:shop:default',
    }
    const answers = [
      { audiences: ['other'], authenticated: true, user },
      { audiences: ['tpx-traffic-manager'], authenticated: true, user: { username: user.username } },
      { audiences: ['tpx-traffic-manager'], authenticated: true, user: { ...user, username: 'ada' } },
    ]
    const authenticate = agentAuthenticator({ create: async <T>() => ({ status: answers.shift() }) as T })
    for (let n = 0; n < 3; n++) await assert.rejects(authenticate(bearer(`t${n}`)), { code: status.UNAUTHENTICATED })
  })
})
