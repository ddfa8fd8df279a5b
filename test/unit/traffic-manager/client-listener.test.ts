import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2 from 'node:http2'
import { describe, it } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { EmptySchema } from '@bufbuild/protobuf/wkt'
import * as grpc from '@grpc/grpc-js'
import { TpxError } from '../../../src/base/error.ts'
import { infoForAgent } from '../../../src/traffic-manager/attachment.ts'
import {
  CreateInterceptRequestSchema,
  DNSRequestSchema,
  EnsureAgentRequestSchema,
  GetInterceptRequestSchema,
  InterceptDispositionType as Disposition,
  type InterceptInfoSnapshot,
  LookupRequestSchema,
  Manager,
  RemainRequestSchema,
  RemoveInterceptRequest2Schema,
  ReviewInterceptRequestSchema,
  type SessionInfo,
  SessionInfoSchema,
  WorkloadEvent_Type as EventType,
  type WorkloadEventsDelta,
  WorkloadEventsRequestSchema,
  WorkloadInfo_AgentState as AgentState,
} from '../../../src/wire/generated/manager_pb.ts'
import { grpcStatus, serviceDefinition } from '../../../src/wire/grpc.ts'
import { anAgent, aSpec, aTarget, eventually, startManager } from './manager-fixture.ts'

const empty = create(EmptySchema)

/** Collects a stream; `done` tells its end: "ok" or the gRPC status. */
function collect<T>(stream: grpc.ClientReadableStream<T>) {
  const messages: T[] = []
  const done = new Promise<number | 'ok'>((resolve) => {
    stream.on('data', (message: T) => messages.push(message)).on('end', () => resolve('ok'))
    stream.on('error', (error: grpc.ServiceError) => resolve(error.code))
  })
  return { done, messages }
}

describe('clients API: sessions', () => {
  it('Version and GetAgentImageFQN answer without a session, methods outside the protocol are unimplemented', async () => {
    await using manager = await startManager()
    const { client } = manager
    assert.deepEqual((({ name, version }) => [name, version])(await client.version(empty)), ['OSS Traffic Manager', 'v2.21.3'])
    assert.equal((await client.getAgentImageFQN(empty)).fQN, 'tpx/traffic:0.1.0')
    const Other = grpc.makeGenericClientConstructor(
      {
        getLicense: {
          path: '/telepresence.manager.Manager/GetLicense',
          requestDeserialize: (bytes: Buffer) => bytes,
          requestSerialize: (bytes: Buffer) => bytes,
          requestStream: false,
          responseDeserialize: (bytes: Buffer) => bytes,
          responseSerialize: (bytes: Buffer) => bytes,
          responseStream: false,
        },
      },
      'Other',
    )
    const other = new Other(`127.0.0.1:${manager.port}`, grpc.credentials.createInsecure())
    const code = await new Promise((resolve) => {
      const call = (other as unknown as Record<string, (bytes: Buffer, done: (error: grpc.ServiceError | null) => void) => void>)[
        'getLicense'
      ]!
      call.bind(other)(Buffer.alloc(0), (error) => resolve(error?.code))
    })
    other.close()
    assert.equal(code, grpc.status.UNIMPLEMENTED)
  })

  it('ArriveAsClient gives a session, refuses empty fields and unknown namespaces', async () => {
    await using manager = await startManager()
    const session = await manager.arrive()
    assert.equal(session.managerInstallId, 'manager-uid')
    assert.ok(manager.state.clients.get(session.sessionId))
    for (const field of ['name', 'installId', 'product', 'version', 'namespace']) {
      await assert.rejects(manager.arrive({ [field]: '' }), (error) => grpcStatus(error) === grpc.status.INVALID_ARGUMENT)
    }
    await assert.rejects(manager.arrive({ namespace: 'nowhere' }), (error) => {
      assert.ok(error instanceof TpxError)
      return error.code === 'NAMESPACE_NOT_FOUND' && grpcStatus(error) === grpc.status.FAILED_PRECONDITION
    })
  })

  it('Remain answers NOT_FOUND with the text that makes clients reconnect when the session is unknown', async () => {
    await using manager = await startManager()
    const session = await manager.arrive()
    await manager.client.remain(create(RemainRequestSchema, { session }))
    await manager.client.depart(session)
    await assert.rejects(manager.client.remain(create(RemainRequestSchema, { session })), (error) => {
      assert.match((error as Error).message, /^Client session /)
      return grpcStatus(error) === grpc.status.NOT_FOUND
    })
  })
})

describe('clients API: watches', () => {
  it('every watch sends a first message at once and ends without error with the session', async () => {
    await using manager = await startManager()
    const session = await manager.arrive()
    const { client } = manager
    const request = create(WorkloadEventsRequestSchema, { sessionInfo: session })
    const streams = [
      collect(client.watchAgentPods(session)),
      collect(client.watchAgents(session)),
      collect(client.watchIntercepts(session)),
      collect(client.watchWorkloads(request)),
      collect(client.watchClusterInfo(session)),
    ]
    await eventually(() => streams.every(({ messages }) => messages.length === 1))
    const dial = collect(client.watchDial(session))
    await new Promise((resolve) => setTimeout(resolve, 20))
    await client.depart(session)
    assert.deepEqual(await Promise.all([...streams, dial].map(({ done }) => done)), Array(6).fill('ok'))
    assert.deepEqual(dial.messages, [])
  })

  it('a watch without a session is refused', async () => {
    await using manager = await startManager()
    const none = create(SessionInfoSchema)
    assert.equal(await collect(manager.client.watchIntercepts(none)).done, grpc.status.NOT_FOUND)
  })

  it('WatchAgentPods shows the agents of the namespace and which of them this client attached to', async () => {
    await using manager = await startManager()
    const session = await manager.arrive()
    const { messages } = collect(manager.client.watchAgentPods(session))
    const agent = anAgent(manager.state)
    anAgent(manager.state, { namespace: 'bank' })
    manager.state.attach(manager.state.clients.get(session.sessionId)!, aSpec())
    const snapshot = await eventually(() => messages.findLast(({ agents }) => agents.some(({ intercepted }) => intercepted)))
    assert.deepEqual(
      snapshot.agents.map(({ podId, podIp, podName, workloadName }) => [podId, podIp, podName, workloadName]),
      [[agent.identity.podUid, Buffer.of(10, 244, 1, 7), agent.info.podName, 'web-app']],
    )
  })

  it('WatchAgents hides the environment, EnsureAgent tells it', async () => {
    await using manager = await startManager()
    const session = await manager.arrive()
    anAgent(manager.state)
    const { messages } = collect(manager.client.watchAgents(session))
    const seen = await eventually(() => messages[0]?.agents[0])
    assert.deepEqual([seen.containers['web']?.environment, seen.containers['web']?.mountPoint], [{}, '/mounts/web'])
    const ensured = await manager.client.ensureAgent(create(EnsureAgentRequestSchema, { name: 'web-app', session }))
    assert.deepEqual(ensured.agents[0]?.containers['web']?.environment, { GREETING: 'hello' })
  })

  it('WatchWorkloads tells all workloads first, then what changed', async () => {
    await using manager = await startManager()
    const session = await manager.arrive()
    const { messages } = collect<WorkloadEventsDelta>(
      manager.client.watchWorkloads(create(WorkloadEventsRequestSchema, { sessionInfo: session })),
    )
    const first = await eventually(() => messages[0])
    assert.deepEqual(
      first.events.map(({ type, workload }) => [type, workload?.name, workload?.agentState]),
      [[EventType.ADDED_UNSPECIFIED, 'web-app', AgentState.NO_AGENT_UNSPECIFIED]],
    )
    anAgent(manager.state)
    const second = await eventually(() => messages[1])
    assert.deepEqual(
      second.events.map(({ type, workload }) => [type, workload?.agentState]),
      [[EventType.MODIFIED, AgentState.INSTALLED]],
    )
    manager.workloads.records = []
    manager.workloads.changes.emit()
    assert.equal((await eventually(() => messages[2])).events[0]?.type, EventType.DELETED)
  })
})

describe('clients API: attachments', () => {
  const request = (session: SessionInfo, spec = aSpec()) => create(CreateInterceptRequestSchema, { interceptSpec: spec, session })

  it('an attachment is prepared, created, accepted by the agent, shown and removed', async () => {
    await using manager = await startManager()
    const { client, state } = manager
    const session = await manager.arrive()
    const { messages } = collect<InterceptInfoSnapshot>(client.watchIntercepts(session))
    const prepared = await client.prepareIntercept(request(session, aSpec({ containerPort: 0, workloadKind: '' })))
    assert.deepEqual([prepared.error, prepared.containerPort, prepared.workloadKind], ['', aTarget.containerPort, 'Deployment'])
    const created = await client.createIntercept(request(session))
    assert.deepEqual([created.disposition, created.id], [Disposition.WAITING, `${session.sessionId}:web-app`])
    const attachment = state.attachments()[0]!
    const agent = state.agents.values()[0]!
    state.review(agent, create(ReviewInterceptRequestSchema, { disposition: Disposition.ACTIVE, id: infoForAgent(attachment).id }))
    const active = await eventually(() => messages.at(-1)?.intercepts.find(({ disposition }) => disposition === Disposition.ACTIVE))
    assert.deepEqual(active.environment, { GREETING: 'hello' })
    const got = await client.getIntercept(create(GetInterceptRequestSchema, { name: 'web-app', session }))
    assert.equal(got.podName, agent.info.podName)
    await client.removeIntercept(create(RemoveInterceptRequest2Schema, { name: 'web-app', session }))
    await eventually(() => messages.at(-1)?.intercepts.length === 0)
    await assert.rejects(client.removeIntercept(create(RemoveInterceptRequest2Schema, { name: 'web-app', session })), {
      code: 'ATTACHMENT_NOT_FOUND',
    })
  })

  it('PrepareIntercept reports what the user can mend in the answer, with code and hint in the trailer', async () => {
    await using manager = await startManager()
    const session = await manager.arrive()
    const trailer = Promise.withResolvers<grpc.Metadata>()
    const raw = grpc.makeGenericClientConstructor(serviceDefinition(Manager), 'Manager')
    const client = new raw(`127.0.0.1:${manager.port}`, grpc.credentials.createInsecure())
    const answer = await new Promise<{ error: string; errorCategory: number }>((resolve, reject) => {
      type Unary = (request: unknown, done: (error: unknown, answer: never) => void) => grpc.ClientUnaryCall
      const call = (client as unknown as Record<string, Unary>)['prepareIntercept']!.bind(client)
      call(request(session, aSpec({ agent: 'web-ap' })), (error, response) => (error ? reject(error as Error) : resolve(response))).on(
        'status',
        (status) => trailer.resolve(status.metadata),
      )
    })
    client.close()
    assert.deepEqual([answer.error, answer.errorCategory], ['No workload "web-ap"', 1])
    const metadata = await trailer.promise
    assert.equal(metadata.get('tpx-error-code')[0], 'WORKLOAD_NOT_FOUND')
    assert.equal(String(metadata.get('tpx-error-hint-bin')[0]), 'Did you mean "web-app"?')
  })

  it('CreateIntercept and PrepareIntercept name the holder of the port', async () => {
    await using manager = await startManager()
    await manager.client.createIntercept(request(await manager.arrive()))
    const other = await manager.arrive({ name: 'bob@desk' })
    const spec = aSpec({ name: 'mine' })
    await assert.rejects(manager.client.createIntercept(request(other, spec)), (error) => {
      assert.ok(error instanceof TpxError)
      assert.match(error.message, /held by "ada@laptop" as "web-app" since /)
      return error.code === 'PORT_CONFLICT' && error.hint === 'Ask ada@laptop to run: tpx leave web-app'
    })
    assert.match((await manager.client.prepareIntercept(request(other, spec))).error, /held by "ada@laptop"/)
  })

  it('CreateIntercept gives the port back when the agent cannot come, or the client goes away meanwhile', async () => {
    const blocked = Promise.withResolvers<AbortSignal>()
    const failure = new TpxError('AGENT_NOT_READY', 'Image cannot be pulled')
    let isBlocking = false
    await using manager = await startManager({
      injector: {
        ensureAgent: (_, { signal }) => {
          if (!isBlocking) throw failure
          blocked.resolve(signal)
          return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
        },
        resolveTarget: async () => aTarget,
      },
    })
    const session = await manager.arrive()
    await assert.rejects(manager.client.createIntercept(request(session)), { code: 'AGENT_NOT_READY', message: 'Image cannot be pulled' })
    assert.deepEqual(manager.state.attachments(), [])
    isBlocking = true
    const pending = manager.client.createIntercept(request(session))
    pending.catch(() => {})
    await blocked.promise
    assert.equal(manager.state.attachments().length, 1)
    await manager.client.depart(session)
    await assert.rejects(pending, { code: 'SESSION_LOST' })
    assert.deepEqual(manager.state.attachments(), [])
  })

  it('CreateIntercept refuses what this version does not know instead of taking all traffic', async () => {
    await using manager = await startManager()
    const session = await manager.arrive()
    for (const spec of [
      aSpec({ wiretap: true }),
      aSpec({ headerFilters: { a: 'b' } }),
      aSpec({ replace: true }),
      aSpec({ mechanism: 'http' }),
    ]) {
      await assert.rejects(manager.client.createIntercept(request(session, spec)), { code: 'USAGE' })
    }
  })
})

describe('clients API: names and windows', () => {
  it('LookupDNS answers a name that does not exist with its code and status OK', async () => {
    await using manager = await startManager()
    const session = await manager.arrive()
    const answer = await manager.client.lookupDNS(create(DNSRequestSchema, { name: 'nothing.', session, type: 1 }))
    assert.deepEqual([answer.rCode, answer.rrs.length], [3, 0])
    const found = await manager.client.lookup(create(LookupRequestSchema, { name: 'web.', session }))
    assert.deepEqual(Buffer.from(found.ips[0]!), Buffer.of(10, 96, 0, 1))
  })

  it('the gRPC server opens windows of 4 MiB a stream and 16 MiB a connection', async () => {
    await using manager = await startManager()
    const session = http2.connect(`http://127.0.0.1:${manager.port}`)
    await once(session, 'remoteSettings')
    assert.equal(session.remoteSettings.initialWindowSize, 4 << 20)
    await eventually(() => (session.state.remoteWindowSize ?? 0) >= 16 << 20)
    session.destroy()
  })
})
