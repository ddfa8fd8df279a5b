import { create } from '@bufbuild/protobuf'
import { EmptySchema } from '@bufbuild/protobuf/wkt'
import { status } from '@grpc/grpc-js'
import { TpxError } from '../base/error.ts'
import {
  AgentImageFQNSchema,
  CLIConfigSchema,
  type ClientInfo,
  KnownWorkloadKindsSchema,
  Manager,
  SessionInfoSchema,
  TelepresenceAPIInfoSchema,
  VersionInfo2Schema,
} from '../wire/generated/manager_pb.ts'
import { ANNOUNCED_VERSION, MANAGER_NAME } from '../wire/versions.ts'
import { type HandlerFactory, type Handlers, StatusError } from './grpc-handlers.ts'
import type { ManagerPorts } from './manager-ports.ts'
import { requireClient } from './require-session.ts'
import { KINDS } from './workload-watch.ts'

const { method } = Manager

function checkClientInfo(info: ClientInfo): void {
  for (const field of ['name', 'installId', 'product', 'version', 'namespace'] as const) {
    if (!info[field]) throw new TpxError('USAGE', `Client info lacks "${field}"`)
  }
}

/** Clients come, stay and go; and what they may ask without a session. */
export function sessionService(ports: ManagerPorts, handle: HandlerFactory): Handlers {
  const { logger, state } = ports
  const touch = (session: Parameters<typeof requireClient>[1]): void => state.clients.touch(requireClient(state, session))
  return {
    version: handle.unary(method.version, () => create(VersionInfo2Schema, { name: MANAGER_NAME, version: ANNOUNCED_VERSION })),

    getAgentImageFQN: handle.unary(method.getAgentImageFQN, () => {
      if (!ports.agentImage) throw new StatusError(status.UNAVAILABLE, 'This traffic-manager has no agent injector')
      return create(AgentImageFQNSchema, { fQN: ports.agentImage })
    }),

    getClientConfig: handle.unary(method.getClientConfig, async () => {
      await ports.clientConfig.ready
      return create(CLIConfigSchema, { configYaml: Buffer.from(ports.clientConfig.text) })
    }),

    getTelepresenceAPI: handle.unary(method.getTelepresenceAPI, () => create(TelepresenceAPIInfoSchema, { port: 0 })),

    getKnownWorkloadKinds: handle.unary(method.getKnownWorkloadKinds, (session) => {
      requireClient(state, session)
      return create(KnownWorkloadKindsSchema, { kinds: KINDS.map(({ kind }) => kind) })
    }),

    arriveAsClient: handle.unary(method.arriveAsClient, async (info) => {
      checkClientInfo(info)
      if (!(await ports.namespaceExists(info.namespace))) {
        throw new TpxError('NAMESPACE_NOT_FOUND', `The cluster has no namespace "${info.namespace}"`, {
          hint: 'Choose one with --namespace',
        })
      }

      const client = state.arriveAsClient(info)
      logger.info({ client: info.name, namespace: info.namespace, product: info.product, version: info.version }, 'Client arrived')
      return create(SessionInfoSchema, { installId: info.installId, managerInstallId: ports.managerInstallId, sessionId: client.id })
    }),

    remain: handle.unary(method.remain, ({ session }) => {
      touch(session)
      return create(EmptySchema)
    }),

    depart: handle.unary(method.depart, (session) => {
      const client = requireClient(state, session)
      state.clients.remove(client.id)
      logger.info({ client: client.info.name }, 'Client departed')
      return create(EmptySchema)
    }),
  }
}
