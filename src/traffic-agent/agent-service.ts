import { create } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import { messageOf } from '../base/error.ts'
import { Agent } from '../wire/generated/agent_pb.ts'
import { type LookupRequest, LookupResponseSchema, VersionInfo2Schema } from '../wire/generated/manager_pb.ts'
import { serviceDefinition } from '../wire/grpc.ts'
import { AGENT_NAME, ANNOUNCED_VERSION } from '../wire/versions.ts'
import { type AddressResolver, lookupName } from './name-lookup.ts'

/**
 * The gRPC service for Telepresence's clients. WatchDial and Tunnel are UNIMPLEMENTED: such a client proves itself by its session
 * id, which agents must never see, and the manager has no call by which an agent could have one checked.
 */
export function agentServer(resolver: AddressResolver, search: readonly string[]): grpc.Server {
  const server = new grpc.Server({ 'grpc.max_receive_message_length': 4 << 20 })
  server.addService(serviceDefinition(Agent), {
    version: (_call: unknown, answer: grpc.sendUnaryData<unknown>) =>
      answer(null, create(VersionInfo2Schema, { name: AGENT_NAME, version: ANNOUNCED_VERSION })),
    lookup: (call: grpc.ServerUnaryCall<LookupRequest, unknown>, answer: grpc.sendUnaryData<unknown>) => {
      lookupName(call.request.name, resolver, search).then(
        (ips) => answer(null, create(LookupResponseSchema, { ips })),
        (error: unknown) => answer({ code: grpc.status.UNAVAILABLE, details: messageOf(error) }),
      )
    },
  })
  return server
}
