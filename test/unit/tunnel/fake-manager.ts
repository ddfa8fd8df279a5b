import { once } from 'node:events'
import net from 'node:net'
import { create } from '@bufbuild/protobuf'
import { EmptySchema } from '@bufbuild/protobuf/wkt'
import * as grpc from '@grpc/grpc-js'
import { TpxError } from '../../../src/base/error.ts'
import { formatAuthority, parseRequest } from '../../../src/wire/data-stream.ts'
import type { Offer } from '../../../src/wire/mux.ts'
import { PipeHost, readStrandWords } from '../../../src/wire/pipe-host.ts'
import {
  AgentInfoSnapshotSchema,
  AgentPodInfoSchema,
  AgentPodInfoSnapshotSchema,
  CLIConfigSchema,
  ClusterInfoSchema,
  type CreateInterceptRequest,
  type DNSRequest,
  DNSResponseSchema,
  InterceptDispositionType,
  type InterceptInfo,
  InterceptInfoSchema,
  InterceptInfoSnapshotSchema,
  Manager,
  PreparedInterceptSchema,
  SessionInfoSchema,
  VersionInfo2Schema,
  type WorkloadEvent_Type,
  WorkloadEventsDeltaSchema,
  type WorkloadInfo_AgentState,
  type WorkloadInfo_Kind,
  type WorkloadInfo_State,
} from '../../../src/wire/generated/manager_pb.ts'
import { serviceDefinition, toStatus } from '../../../src/wire/grpc.ts'
import { ACCEPTED, formatRefusal, readPreface } from '../../../src/wire/preface.ts'
import { OUTBOUND_KEY_METADATA, STREAM_KEY, STREAM_KEY_WISH } from '../../../src/wire/versions.ts'

// oxlint-disable-next-line typescript/no-explicit-any -- grpc-js calls of many shapes
type Call = any

/** One workload, by the numbers of the protocol's enums. */
export type FakeWorkload = { agentState: WorkloadInfo_AgentState; kind: WorkloadInfo_Kind; name: string; state: WorkloadInfo_State }

/** A traffic-manager in this process: real gRPC and data streams on a loopback port. */
export class FakeManager {
  arrivals = 0
  /** What GetClientConfig answers; null: UNIMPLEMENTED. */
  clientConfig: string | null = ''
  /** Calls by method name, in order. */
  readonly calls: string[] = []
  /** Set to let Remain hang, as a frozen path does. */
  isFrozen = false
  /** In ClusterInfo, as managers tell Telepresence's older clients. */
  alsoProxy: { ip: Uint8Array; mask: number }[] = []
  intercepts: InterceptInfo[] = []
  pods: { podName: string; workloadName: string }[] = []
  port = 0
  prepareError: TpxError | null = null
  createError: TpxError | null = null
  ensureError: TpxError | null = null
  /** What an intercept is when it has been created. */
  disposition: InterceptDispositionType = InterceptDispositionType.ACTIVE
  speaksTpx: boolean | 'as the first version' = true
  readonly sessions = new Set<string>()
  /** What each CreateIntercept wished its stream key to be. */
  readonly wishedKeys: string[] = []
  lookup: (request: DNSRequest) => { rCode: number; rrs: Uint8Array } = () => ({ rCode: 3, rrs: new Uint8Array() })
  readonly #pipes = new PipeHost()
  readonly #server = new grpc.Server()
  readonly #sockets = new Set<net.Socket>()
  readonly #tcp: net.Server
  workloads: FakeWorkload[] = []
  readonly #watchers = { intercepts: new Set<Call>(), pods: new Set<Call>(), workloads: new Set<Call>() }

  constructor() {
    this.#server.addService(serviceDefinition(Manager), this.#handlers())
    const injector = this.#server.createConnectionInjector(grpc.ServerCredentials.createInsecure())
    this.#tcp = net.createServer({ noDelay: true }, (socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket))
      void this.#accept(socket, injector).catch(() => socket.destroy())
    })
  }

  async start(): Promise<this> {
    this.#tcp.listen(this.port, '127.0.0.1')
    await once(this.#tcp, 'listening')
    this.port = (this.#tcp.address() as net.AddressInfo).port
    return this
  }

  /** Cuts every connection; sessions are kept unless `forget`. */
  cut({ forget = false } = {}): void {
    if (forget) {
      this.sessions.clear()
      this.intercepts = []
      this.#pipes.close()
    }
    for (const socket of this.#sockets) socket.destroy()
  }

  async stop(): Promise<void> {
    this.cut()
    this.#pipes.close()
    this.#server.forceShutdown()
    await new Promise((resolve) => this.#tcp.close(resolve))
  }

  publish(): void {
    for (const call of this.#watchers.intercepts) call.write(create(InterceptInfoSnapshotSchema, { intercepts: this.intercepts }))
    for (const call of this.#watchers.pods) call.write(this.#podSnapshot())
  }

  /** @param type of the event: 0 added, 1 modified, 2 deleted */
  publishWorkload(type: WorkloadEvent_Type, workload: FakeWorkload): void {
    for (const call of this.#watchers.workloads) call.write(this.#workloadDelta(type, [workload]))
  }

  #workloadDelta(type: WorkloadEvent_Type, workloads: FakeWorkload[]) {
    return create(WorkloadEventsDeltaSchema, {
      events: workloads.map((workload) => ({ type, workload: { ...workload, namespace: 'shop' } })),
    })
  }

  #podSnapshot() {
    const agents = this.pods.map((pod) =>
      create(AgentPodInfoSchema, { ...pod, apiPort: 9900, namespace: 'shop', podId: `uid-${pod.podName}` }),
    )
    return create(AgentPodInfoSnapshotSchema, { agents })
  }

  async #accept(socket: net.Socket, injector: ReturnType<grpc.Server['createConnectionInjector']>): Promise<void> {
    const preface = await readPreface(socket)
    if (preface.kind === 'http2') return injector.injectConnection(socket)
    if (!this.speaksTpx) return void socket.destroy()
    if (this.speaksTpx !== true) return void socket.write(ACCEPTED)
    try {
      this.#pipes.accept(socket, readStrandWords(preface.args.slice(1)), (mux) => {
        this.#session(preface.args[0])
        mux.onOffer = (offer) => this.#answer(offer)
      })
    } catch (error) {
      const { code, message } = error as TpxError
      socket.end(formatRefusal(code, message))
    }
  }

  #answer({ accept, refuse, request }: Offer): void {
    const { destination, protocol, source } = parseRequest(request)!
    if (destination.port === 1) return refuse('ECONNREFUSED')
    const stream = accept()
    if (destination.port === 2) return void stream.destroy(new Error('ECONNREFUSED'))
    if (protocol !== 'udp') stream.write(`${destination.host} ${source ? formatAuthority(source.host, source.port) : ''} `)
    stream.pipe(stream)
  }

  #session(id: string | undefined): void {
    if (!this.sessions.has(id ?? '')) throw new TpxError('SESSION_LOST', 'Client session is not known')
  }

  #handlers() {
    const unary =
      (name: string, answer: (request: never, call: Call) => unknown) => (call: Call, callback: grpc.sendUnaryData<unknown>) => {
        this.calls.push(name)
        if (name === 'createIntercept') this.wishedKeys.push(String(call.metadata.get(STREAM_KEY_WISH)[0] ?? ''))
        if (this.isFrozen) return
        try {
          const trailer = new grpc.Metadata()
          callback(null, answer(call.request as never, trailer), trailer)
        } catch (error) {
          callback(toStatus(error))
        }
      }
    const watch = (set: Set<Call> | null, first: () => unknown) => (call: Call) => {
      try {
        this.#session((call.request.sessionInfo ?? call.request).sessionId)
      } catch (error) {
        return void call.emit('error', toStatus(error))
      }
      call.on('cancelled', () => {
        set?.delete(call)
        call.end()
      })
      set?.add(call)
      call.write(first())
    }
    return {
      version: unary('version', () => create(VersionInfo2Schema, { name: 'OSS Traffic Manager', version: 'v2.21.3' })),
      getClientConfig: unary('getClientConfig', () => {
        if (this.clientConfig === null) throw new Error('not implemented')
        return create(CLIConfigSchema, { configYaml: Buffer.from(this.clientConfig) })
      }),
      arriveAsClient: unary('arriveAsClient', () => {
        const sessionId = `session-${++this.arrivals}`
        this.sessions.add(sessionId)
        return create(SessionInfoSchema, { sessionId })
      }),
      remain: unary('remain', ({ session }: { session?: { sessionId: string } }) => {
        this.#session(session?.sessionId)
        return create(EmptySchema)
      }),
      depart: unary('depart', ({ sessionId }: { sessionId: string }) => {
        this.sessions.delete(sessionId)
        return create(EmptySchema)
      }),
      lookupDNS: unary('lookupDNS', (request: DNSRequest) => create(DNSResponseSchema, this.lookup(request))),
      prepareIntercept: unary('prepareIntercept', (_request: CreateInterceptRequest, trailer: grpc.Metadata) => {
        if (!this.prepareError)
          return create(PreparedInterceptSchema, {
            containerName: 'app',
            containerPort: 8080,
            serviceName: 'web-app',
            servicePort: 80,
            workloadKind: 'Deployment',
          })
        trailer.merge(toStatus(this.prepareError).metadata!)
        return create(PreparedInterceptSchema, { error: this.prepareError.message, errorCategory: 1 })
      }),
      createIntercept: unary('createIntercept', ({ interceptSpec, session }: CreateInterceptRequest) => {
        this.#session(session?.sessionId)
        if (this.createError) throw this.createError
        const info = create(InterceptInfoSchema, {
          disposition: this.disposition,
          environment: { GREETING: 'hi' },
          metadata: { [STREAM_KEY]: `key-${this.arrivals}` },
          mounts: { '/data': 0, '/secret': 1, '/tmp': 2 },
          podIp: '10.244.0.9',
          spec: interceptSpec!,
        })
        this.intercepts = [...this.intercepts, info]
        setImmediate(() => this.publish())
        return info
      }),
      ensureAgent: unary('ensureAgent', ({ session }: { session?: { sessionId: string } }, trailer: grpc.Metadata) => {
        this.#session(session?.sessionId)
        if (this.ensureError) throw this.ensureError
        trailer.set(OUTBOUND_KEY_METADATA, 'taken')
        return create(AgentInfoSnapshotSchema, {})
      }),
      getIntercept: unary('getIntercept', ({ name }: { name: string }) => {
        const found = this.intercepts.find(({ spec }) => spec?.name === name)
        if (!found) throw new TpxError('ATTACHMENT_NOT_FOUND', 'none')
        return found
      }),
      removeIntercept: unary('removeIntercept', ({ name }: { name: string }) => {
        if (!this.intercepts.some(({ spec }) => spec?.name === name)) throw new TpxError('ATTACHMENT_NOT_FOUND', 'none')
        this.intercepts = this.intercepts.filter(({ spec }) => spec?.name !== name)
        setImmediate(() => this.publish())
        return create(EmptySchema)
      }),
      watchAgentPods: watch(this.#watchers.pods, () => this.#podSnapshot()),
      watchIntercepts: watch(this.#watchers.intercepts, () => create(InterceptInfoSnapshotSchema, { intercepts: this.intercepts })),
      watchWorkloads: watch(this.#watchers.workloads, () => this.#workloadDelta(0, this.workloads)),
      watchClusterInfo: watch(null, () =>
        create(ClusterInfoSchema, {
          dns: { clusterDomain: 'cluster.local.' },
          routing: { alsoProxySubnets: this.alsoProxy },
          podSubnets: [{ ip: new Uint8Array([10, 244, 0, 0]), mask: 16 }],
          serviceCidrs: [new Uint8Array([10, 96, 0, 0, 12])],
        }),
      ),
    }
  }
}
