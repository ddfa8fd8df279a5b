// A traffic-manager in this process: real listeners on loopback, fakes for what lies behind them.
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { credentials } from '@grpc/grpc-js'
import { TpxError } from '../../../src/base/error.ts'
import { silentLogger } from '../../../src/base/logger.ts'
import { Changes } from '../../../src/traffic-manager/changes.ts'
import { listenForClients } from '../../../src/traffic-manager/client-listener.ts'
import { dialerWith } from '../../../src/outbound/dialer.ts'
import type { ManagerPorts } from '../../../src/traffic-manager/manager-ports.ts'
import type { AgentSession, ClientSession } from '../../../src/traffic-manager/sessions.ts'
import { State } from '../../../src/traffic-manager/state.ts'
import type { Target } from '../../../src/traffic-manager/target.ts'
import { TunnelRelay } from '../../../src/traffic-manager/tunnel-relay.ts'
import type { WorkloadRecord } from '../../../src/traffic-manager/workload-watch.ts'
import {
  type AgentInfo,
  AgentInfoSchema,
  type ClientInfo,
  ClientInfoSchema,
  ClusterInfoSchema,
  type InterceptSpec,
  InterceptSpecSchema,
  Manager,
  WorkloadInfo_Kind,
  WorkloadInfo_State,
} from '../../../src/wire/generated/manager_pb.ts'
import { grpcClient } from '../../../src/wire/grpc.ts'

export function aClientInfo(init: MessageInitShape<typeof ClientInfoSchema> = {}): ClientInfo {
  return create(ClientInfoSchema, { installId: 'i', name: 'ada@laptop', namespace: 'shop', product: 'tpx', version: '0.1.0', ...init })
}

export function anAgentInfo(init: MessageInitShape<typeof AgentInfoSchema> = {}): AgentInfo {
  return create(AgentInfoSchema, {
    apiPort: 9900,
    containers: { web: { environment: { GREETING: 'hello' }, mountPoint: '/mounts/web', mounts: { '/etc/web': 1 } } },
    kind: 'Deployment',
    mechanisms: [{ name: 'tcp', product: 'tpx', version: '0.1.0' }],
    name: 'web-app',
    namespace: 'shop',
    podIp: '10.244.1.7',
    podName: 'web-app-1',
    product: 'tpx',
    version: '0.1.0',
    ...init,
  })
}

export function aSpec(init: MessageInitShape<typeof InterceptSpecSchema> = {}): InterceptSpec {
  return create(InterceptSpecSchema, {
    agent: 'web-app',
    client: 'ada@laptop',
    containerName: 'web',
    containerPort: 8080,
    mechanism: 'tcp',
    name: 'web-app',
    namespace: 'shop',
    protocol: 'TCP',
    targetHost: '127.0.0.1',
    targetPort: 3000,
    workloadKind: 'Deployment',
    ...init,
  })
}

export const aTarget: Target = {
  containerName: 'web',
  containerPort: 8080,
  containerPortName: 'http',
  protocol: 'TCP',
  serviceName: 'web-app',
  servicePort: 80,
  servicePortName: 'http',
  serviceUid: 'svc-uid',
  workloadKind: 'Deployment',
  workloadName: 'web-app',
  workloadUid: 'wl-uid',
}

export const aWorkload: WorkloadRecord = {
  kind: WorkloadInfo_Kind.DEPLOYMENT,
  kindName: 'Deployment',
  name: 'web-app',
  namespace: 'shop',
  state: WorkloadInfo_State.AVAILABLE,
  uid: 'wl-uid',
}

let pods = 0

/** An agent of the given workload, as its own Pod. */
export function anAgent(state: State, init: MessageInitShape<typeof AgentInfoSchema> = {}): AgentSession {
  const info = anAgentInfo({ podName: `pod-${++pods}`, ...init })
  return state.arriveAsAgent(info, { namespace: info.namespace, podName: info.podName, podUid: `uid-of-${info.podName}` })
}

export function aClient(state: State, init: MessageInitShape<typeof ClientInfoSchema> = {}): ClientSession {
  return state.arriveAsClient(aClientInfo(init))
}

/** Fakes of everything behind the services; loopback may be dialed. */
export function fakePorts(overrides: Partial<ManagerPorts> = {}) {
  const state = overrides.state ?? new State()
  const workloads = {
    changes: new Changes(),
    error: undefined as unknown,
    ready: Promise.resolve(),
    records: [aWorkload],
    values: () => workloads.records,
  }
  const clusterInfo = {
    changes: new Changes(),
    ready: Promise.resolve(),
    snapshot: () => create(ClusterInfoSchema, { managerPodPort: 8081 }),
  }
  const ports: ManagerPorts = {
    agentImage: 'tpx/traffic:0.1.0',
    clientConfig: { ready: Promise.resolve(), text: '' },
    clusterInfo,
    dialer: dialerWith(() => {}),
    injector: {
      ensureAgent: async (workload) => {
        if (state.agentsOf(workload).length === 0) anAgent(state, { name: workload.name, namespace: workload.namespace })
        return { ...workload, kind: 'Deployment' }
      },
      resolveTarget: async ({ workload }) => {
        if (workload === 'web-app') return aTarget
        throw new TpxError('WORKLOAD_NOT_FOUND', `No workload "${workload}"`, { hint: 'Did you mean "web-app"?' })
      },
    },
    logger: silentLogger(),
    managerInstallId: 'manager-uid',
    names: { addresses: async () => [Buffer.of(10, 96, 0, 1)], lookup: async () => ({ rcode: 3, records: Buffer.alloc(0) }) },
    namespaceExists: async (namespace) => namespace !== 'nowhere',
    relay: new TunnelRelay(),
    workloads: { acquire: () => ({ release: () => {}, workloads }) },
    ...overrides,
    state,
  }
  return { ports, state, workloads }
}

/** Starts the clients' API and opens a gRPC client to it. */
export async function startManager(overrides: Partial<ManagerPorts> = {}) {
  const fakes = fakePorts(overrides)
  const listener = await listenForClients(fakes.ports, { address: '127.0.0.1', port: 0 })
  const client = grpcClient<typeof Manager.method>(Manager, `127.0.0.1:${listener.port}`, credentials.createInsecure())
  const arrive = async (init: MessageInitShape<typeof ClientInfoSchema> = {}) => client.arriveAsClient(aClientInfo(init))
  return {
    ...fakes,
    arrive,
    client,
    port: listener.port,
    async [Symbol.asyncDispose]() {
      client.close()
      await listener.close()
    },
  }
}

/** Waits until `probe` answers something else than undefined or false; 2 s at most. */
export async function eventually<T>(probe: () => T | false | undefined): Promise<T> {
  const end = performance.now() + 2_000
  for (;;) {
    const answer = probe()
    if (answer !== undefined && answer !== false) return answer
    if (performance.now() > end) throw new Error('never happened')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
