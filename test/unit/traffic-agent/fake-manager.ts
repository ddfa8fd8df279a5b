import 'reflect-metadata'
import { writeFileSync } from 'node:fs'
import { webcrypto } from 'node:crypto'
import { create } from '@bufbuild/protobuf'
import { EmptySchema } from '@bufbuild/protobuf/wkt'
import * as grpc from '@grpc/grpc-js'
import * as x509 from '@peculiar/x509'
import * as pb from '../../../src/wire/generated/manager_pb.ts'
import { serviceDefinition, toStatus } from '../../../src/wire/grpc.ts'
import { TpxError } from '../../../src/base/error.ts'
import type { AgentConfig } from '../../../src/wire/agent-config.ts'
import { STREAM_KEY } from '../../../src/wire/versions.ts'

/** The sidecar's environment as the webhook writes it. */
export function agentEnvironment(config: Partial<AgentConfig> = {}): Record<string, string> {
  const whole: AgentConfig = {
    apiPort: 9900,
    containers: [
      {
        environmentPrefix: 'TPXA_0_',
        mounts: [
          { path: '/etc/web', readOnly: true, root: '/tpx/0' },
          { path: '/data', readOnly: false, root: '/tpx/1' },
        ],
        name: 'app',
        ports: [{ agentPort: 9910, containerPort: 8080, name: 'http', protocol: 'TCP' }],
      },
    ],
    logLevel: 'silent',
    managerCa: '-----BEGIN CERTIFICATE-----',
    managerHost: 'localhost',
    managerPort: 8082,
    namespace: 'default',
    workload: 'web',
    workloadKind: 'Deployment',
    ...config,
  }
  return {
    TPX_AGENT_CONFIG: JSON.stringify(whole),
    TPX_POD_IP: '127.0.0.1',
    TPX_POD_NAME: 'web-1',
    TPX_POD_NAMESPACE: 'default',
    TPX_POD_UID: 'uid-1',
    TPXA_0_GREETING: 'hello',
  }
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

async function pem(keys: webcrypto.CryptoKeyPair): Promise<Buffer> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64')
  return Buffer.from(`-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n`)
}

/** A CA of its own and a certificate of "localhost". */
export async function makeCertificates(): Promise<{ ca: string; certificate: Buffer; key: Buffer }> {
  x509.cryptoProvider.set(webcrypto as never)
  const [caKeys, keys] = await Promise.all([1, 2].map(() => webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])))
  if (!caKeys || !keys) throw new Error('No keys')
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=test-ca',
    keys: caKeys as never,
    signingAlgorithm: ALGORITHM,
    extensions: [new x509.BasicConstraintsExtension(true, 0, true)],
  })
  const certificate = await x509.X509CertificateGenerator.create({
    subject: 'CN=localhost',
    issuer: ca.subject,
    publicKey: keys.publicKey as never,
    signingKey: caKeys.privateKey as never,
    signingAlgorithm: ALGORITHM,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'localhost' }])],
  })
  return { ca: ca.toString('pem'), certificate: Buffer.from(certificate.toString('pem')), key: await pem(keys) }
}

type Certificates = Awaited<ReturnType<typeof makeCertificates>>
type Watch = grpc.ServerWritableStream<pb.SessionInfo, pb.InterceptInfoSnapshot>

/** What an agent sees of a manager: sessions and intercepts in memory, over TLS. */
export class FakeManager {
  readonly arrived: pb.AgentInfo[] = []
  readonly departed: string[] = []
  intercepts: pb.InterceptInfo[] = []
  remained = 0
  readonly reviews: pb.ReviewInterceptRequest[] = []
  readonly sessions = new Set<string>()
  readonly tokens = new Set<string>()
  readonly #server: grpc.Server
  readonly #watches = new Set<Watch>()

  constructor() {
    this.#server = new grpc.Server()
    this.#server.addService(serviceDefinition(pb.Manager), {
      version: this.#unary(() => create(pb.VersionInfo2Schema, { name: 'fake', version: 'v0.0.0' }), false),
      arriveAsAgent: this.#unary((request: pb.AgentInfo) => {
        this.arrived.push(request)
        const sessionId = `agent-${this.arrived.length}`
        this.sessions.add(sessionId)
        return create(pb.SessionInfoSchema, { sessionId })
      }, false),
      remain: this.#unary(() => {
        this.remained++
        return create(EmptySchema)
      }),
      depart: this.#unary((request: pb.SessionInfo) => {
        this.departed.push(request.sessionId)
        return create(EmptySchema)
      }),
      reviewIntercept: this.#unary((request: pb.ReviewInterceptRequest) => {
        this.reviews.push(request)
        for (const intercept of this.intercepts) if (intercept.id === request.id) intercept.disposition = request.disposition
        this.publish()
        return create(EmptySchema)
      }),
      watchIntercepts: (call: Watch) => {
        this.tokens.add(String(call.metadata.get('authorization')[0]))
        if (!this.sessions.has(call.request.sessionId)) return void call.emit('error', toStatus(unknownSession()))
        this.#watches.add(call.on('cancelled', () => this.#watches.delete(call)))
        call.write(create(pb.InterceptInfoSnapshotSchema, { intercepts: this.intercepts }))
      },
    })
  }

  #unary(answer: (request: never) => unknown, needsSession = true) {
    return (call: grpc.ServerUnaryCall<{ session?: pb.SessionInfo; sessionId?: string }, unknown>, done: grpc.sendUnaryData<unknown>) => {
      this.tokens.add(String(call.metadata.get('authorization')[0]))
      const session = call.request.session?.sessionId ?? call.request.sessionId ?? ''
      if (needsSession && !this.sessions.has(session)) return void done(toStatus(unknownSession()))
      done(null, answer(call.request as never))
    }
  }

  /** @param port 0 for a free one */
  listen({ certificate, key }: Certificates, port = 0): Promise<number> {
    const credentials = grpc.ServerCredentials.createSsl(null, [{ cert_chain: certificate, private_key: key }])
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(`127.0.0.1:${port}`, credentials, (error, bound) => (error ? reject(error) : resolve(bound)))
    })
  }

  /** Sends the intercepts to everybody who watches. */
  publish(): void {
    for (const watch of this.#watches) watch.write(create(pb.InterceptInfoSnapshotSchema, { intercepts: this.intercepts }))
  }

  add(id: string, key: string, spec: Partial<pb.InterceptSpec> = {}): void {
    this.intercepts.push(
      create(pb.InterceptInfoSchema, {
        disposition: pb.InterceptDispositionType.WAITING,
        id,
        metadata: { [STREAM_KEY]: key },
        spec: {
          agent: 'web',
          containerName: 'app',
          containerPort: 8080,
          namespace: 'default',
          targetHost: '127.0.0.1',
          targetPort: 9090,
          ...spec,
        } as pb.InterceptSpec,
      }),
    )
    this.publish()
  }

  kill(): void {
    this.#server.forceShutdown()
  }
}

function unknownSession(): TpxError {
  return new TpxError('SESSION_LOST', 'Agent session is not known')
}

/** Writes a token file. */
export function writeToken(path: string, token: string): void {
  writeFileSync(path, `${token}\n`)
}
