import { create } from '@bufbuild/protobuf'
import { DNSResponseSchema, LookupResponseSchema, Manager } from '../wire/generated/manager_pb.ts'
import type { HandlerFactory, Handlers } from './grpc-handlers.ts'
import type { ManagerPorts } from './manager-ports.ts'
import { requireClient } from './require-session.ts'

const { method } = Manager

/** Names of the cluster. */
export function nameService({ names, state }: ManagerPorts, handle: HandlerFactory): Handlers {
  return {
    lookupDNS: handle.unary(method.lookupDNS, async ({ name, session, type }) => {
      const client = requireClient(state, session)
      const { rcode, records } = await names.lookup(name, type, client.info.namespace)
      return create(DNSResponseSchema, { rCode: rcode, rrs: records })
    }),

    lookup: handle.unary(method.lookup, async ({ name, session }) => {
      const client = requireClient(state, session)
      return create(LookupResponseSchema, { ips: await names.addresses(name, client.info.namespace) })
    }),
  }
}
