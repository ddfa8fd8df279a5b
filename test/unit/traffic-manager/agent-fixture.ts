import { Metadata } from '@grpc/grpc-js'
import * as grpc from '@grpc/grpc-js'
import { agentAuthenticator } from '../../../src/traffic-manager/agent-authenticator.ts'
import { listenForAgents } from '../../../src/traffic-manager/agent-listener.ts'
import { makeCertificates } from '../../../src/traffic-manager/certificates.ts'
import type { ManagerPorts } from '../../../src/traffic-manager/manager-ports.ts'
import { Manager } from '../../../src/wire/generated/manager_pb.ts'
import { grpcClient } from '../../../src/wire/grpc.ts'
import { AGENT_TOKEN_AUDIENCE } from '../../../src/wire/versions.ts'
import { anAgentInfo } from './manager-fixture.ts'

const certificates = await makeCertificates(['localhost'])

/** A TokenReview endpoint that knows tokens of the form `token-of-POD`, of namespace shop. */
export function fakeTokenReviews() {
  const asked: string[] = []
  return {
    asked,
    create: async <T>(_: string, body: unknown): Promise<T> => {
      const { token } = (body as { spec: { token: string } }).spec
      asked.push(token)
      const [, pod] = /^token-of-(.+)$/.exec(token) ?? []
      if (!pod) return { status: { authenticated: false } } as T
      const extra = { 'authentication.kubernetes.io/pod-name': [pod], 'authentication.kubernetes.io/pod-uid': [`uid-of-${pod}`] }
      const user = { extra, username: 'system:serviceaccount:shop:default' }
      return { status: { audiences: [AGENT_TOKEN_AUDIENCE], authenticated: true, user } } as T
    },
  }
}

export function bearer(token: string): Metadata {
  const metadata = new Metadata()
  metadata.set('authorization', `Bearer ${token}`)
  return metadata
}

/** The agents' API of a manager, with a client that trusts its CA; Pods whose name begins with "web-app-" belong to web-app. */
export async function startAgentApi({ ports }: { ports: ManagerPorts }) {
  const reviews = fakeTokenReviews()
  const access = {
    authenticate: agentAuthenticator(reviews),
    workloadOfPod: async ({ namespace, podName }: { namespace: string; podName: string }) => ({
      kind: 'Deployment',
      name: podName.replace(/-\d+$/, ''),
      namespace,
    }),
  }
  const listener = await listenForAgents(ports, access, { address: '127.0.0.1', certificate: certificates, port: 0 })
  const credentials = grpc.credentials.createSsl(Buffer.from(certificates.ca))
  const client = grpcClient<typeof Manager.method>(Manager, `localhost:${listener.port}`, credentials)
  const metadata = bearer('token-of-web-app-1')
  return {
    arrive: () => client.arriveAsAgent(anAgentInfo(), metadata),
    client,
    metadata,
    reviews,
    async [Symbol.asyncDispose]() {
      client.close()
      await listener.close()
    },
  }
}
