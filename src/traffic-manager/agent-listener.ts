import * as grpc from '@grpc/grpc-js'
import { serviceDefinition } from '../wire/grpc.ts'
import { Manager } from '../wire/generated/manager_pb.ts'
import { agentService, type WorkloadOfPod } from './agent-service.ts'
import type { Authenticate } from './agent-authenticator.ts'
import type { Listener } from './client-listener.ts'
import { HandlerFactory } from './grpc-handlers.ts'
import { makeServer, openWindows } from './grpc-server.ts'
import type { ManagerPorts } from './manager-ports.ts'

/** PEM texts of the serving certificate and its key. */
export type ServingCertificate = { cert: string; key: string }

/** The agents' API: gRPC over TLS on the Pod's address. */
export async function listenForAgents(
  ports: ManagerPorts,
  access: { authenticate: Authenticate; workloadOfPod: WorkloadOfPod },
  { address, certificate, port }: { address: string; certificate: ServingCertificate; port: number },
): Promise<Listener> {
  const server = makeServer()
  server.addService(serviceDefinition(Manager), agentService(ports, new HandlerFactory(ports.logger), access))
  const pair = { cert_chain: Buffer.from(certificate.cert), private_key: Buffer.from(certificate.key) }
  const credentials = grpc.ServerCredentials.createSsl(null, [pair], false)
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${address}:${port}`, credentials, (error, actual) => (error ? reject(error) : resolve(actual)))
  })
  openWindows(server)
  return {
    close: async () => server.forceShutdown(),
    port: bound,
  }
}
