// The agent's session with the traffic-manager: arrive, say every 5 s that we are here, follow the intercepts, give verdicts.
// Whatever happens to the manager, what it told last stays in force (attachment-table.ts).
import { readFile } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { EmptySchema } from '@bufbuild/protobuf/wkt'
import * as grpc from '@grpc/grpc-js'
import { messageOf } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import { type Backoff, keepTrying } from '../base/retry.ts'
import * as pb from '../wire/generated/manager_pb.ts'
import { type GrpcClient, grpcClient, grpcStatus } from '../wire/grpc.ts'
import { ANNOUNCED_VERSION, CLIENT_PRODUCT } from '../wire/versions.ts'
import type { AttachmentTable } from './attachment-table.ts'
import { mountPolicies, review, understand } from './intercept-review.ts'
import type { Settings } from './settings.ts'

const REMAIN_EVERY_MS = 5_000
const CALL_TIMEOUT_MS = 5_000
/** While the manager's Pod is replaced, its Service may swallow a SYN; a new try a moment later gets through. */
const CONNECT_TIMEOUT_MS = 3_000
const DEPART_TIMEOUT_MS = 2_000
/** How long a manager may still be hearing from the owners of attachments that an earlier manager knew. */
const REANNOUNCE_MS = 60_000
const BACKOFF: Backoff = { firstMs: 200, mostMs: 5_000 }

/** Found dead within 10 + 5 s, also while the kernel still believes in the connection; each try has a channel of its own, so DNS is asked again. */
const CHANNEL: grpc.ClientOptions = {
  // A proxy that somebody's webhook sets for every container does not lead to the manager.
  'grpc.enable_http_proxy': 0,
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.use_local_subchannel_pool': 1,
}

type Client = GrpcClient<typeof pb.Manager>

/** What the client needs; `backoff` and `remainEveryMs` are for tests. */
export type ManagerClientOptions = {
  backoff?: Backoff
  logger: Logger
  remainEveryMs?: number
  settings: Settings
  table: AttachmentTable
}

/** Holds the session with the manager. */
export class ManagerClient {
  readonly #options: ManagerClientOptions
  readonly #reviewing = new Set<string>()
  #client: Client | undefined
  #completeFrom = 0
  #lastError = ''
  #session: pb.SessionInfo | undefined

  constructor(options: ManagerClientOptions) {
    this.#options = options
  }

  /** Connects, and again whenever it must, until the signal aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { backoff = BACKOFF, logger } = this.#options
    const onError = (error: unknown): void => {
      if (grpcStatus(error) === grpc.status.NOT_FOUND) this.#forget()
      const text = messageOf(error)
      logger[text === this.#lastError ? 'debug' : 'warn']({ error: text }, 'manager lost')
      this.#lastError = text
    }

    await keepTrying(
      async () => {
        await this.#connect(signal)
        return signal.aborted
      },
      { backoff, onError, signal },
    )
  }

  /** Tells the manager that this Pod's agent ends; gives up after 2 s. */
  async depart(): Promise<void> {
    if (!this.#session || !this.#client) return
    await this.#client.depart(this.#session, undefined, { deadline: Date.now() + DEPART_TIMEOUT_MS }).catch(() => {})
  }

  /** Closes the channel; call after `run` ended and {@link depart}. */
  close(): void {
    this.#client?.close()
  }

  async #connect(signal: AbortSignal): Promise<void> {
    const client = openClient(this.#options.settings)
    this.#client?.close()
    this.#client = client
    await client.version(create(EmptySchema), undefined, deadline(CONNECT_TIMEOUT_MS))
    if (!this.#session) {
      this.#session = await client.arriveAsAgent(create(pb.AgentInfoSchema, agentInfo(this.#options.settings)), undefined, deadline())
      this.#options.logger.info('arrived at the manager')
    }
    this.#lastError = ''
    await this.#follow(client, this.#session, signal)
  }

  /** Ends with the signal; throws when the watch or a heartbeat fails. */
  async #follow(client: Client, session: pb.SessionInfo, signal: AbortSignal): Promise<void> {
    const stop = new AbortController()
    const stream = client.watchIntercepts(session)
    const watching = new Promise<never>((_, reject) => {
      stream.on('data', (snapshot: pb.InterceptInfoSnapshot) => this.#onSnapshot(client, session, snapshot))
      stream.on('error', reject).on('end', () => reject(new Error('The manager ended the watch')))
    })
    const remaining = this.#remain(client, session, AbortSignal.any([signal, stop.signal]))
    for (const promise of [watching, remaining]) promise.catch(() => {})
    try {
      await Promise.race([watching, remaining])
    } finally {
      stop.abort()
      stream.cancel()
    }
  }

  async #remain(client: Client, session: pb.SessionInfo, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(this.#options.remainEveryMs ?? REMAIN_EVERY_MS, undefined, { signal }).catch(() => {})
      if (signal.aborted) return
      await client.remain(create(pb.RemainRequestSchema, { session }), undefined, deadline())
      this.#options.table.sweep()
    }
  }

  #onSnapshot(client: Client, session: pb.SessionInfo, { intercepts }: pb.InterceptInfoSnapshot): void {
    const { settings, table } = this.#options
    const { attachments, removed, waiting } = understand(intercepts, settings)
    table.update(attachments, removed, performance.now() >= this.#completeFrom)
    for (const intercept of waiting) void this.#review(client, session, intercept)
  }

  async #review(client: Client, session: pb.SessionInfo, intercept: pb.InterceptInfo): Promise<void> {
    const { id } = intercept
    // The same intercept shows as WAITING again until the manager has taken the verdict.
    if (this.#reviewing.has(id)) return
    this.#reviewing.add(id)
    try {
      const verdict = review(intercept, this.#options.settings)
      await client.reviewIntercept(create(pb.ReviewInterceptRequestSchema, { ...verdict, session }), undefined, deadline())
      this.#options.logger.info({ attachment: id, disposition: verdict.disposition, reason: verdict.message }, 'reviewed')
    } catch (error) {
      this.#options.logger.warn({ attachment: id, error: messageOf(error) }, 'review failed')
    } finally {
      this.#reviewing.delete(id)
    }
  }

  /** The manager does not know us: a new one, or we were silent for too long. */
  #forget(): void {
    if (this.#session) this.#completeFrom = performance.now() + REANNOUNCE_MS
    this.#session = undefined
  }
}

function openClient({ config, tokenPath }: Settings): Client {
  const bearer = grpc.credentials.createFromMetadataGenerator((_, done) => {
    // Read at every call: the kubelet replaces the token long before it expires.
    readFile(tokenPath, 'utf8', (error, token) => {
      if (error) return done(new Error(`Cannot read the ServiceAccount token at "${tokenPath}"`))
      const metadata = new grpc.Metadata()
      metadata.set('authorization', `Bearer ${token.trim()}`)
      done(null, metadata)
    })
  })
  const tls = grpc.credentials.createSsl(Buffer.from(config.managerCa))
  const address = config.managerHost.includes(':') ? `[${config.managerHost}]` : config.managerHost
  return grpcClient<typeof pb.Manager.method>(
    pb.Manager,
    `${address}:${config.managerPort}`,
    grpc.credentials.combineChannelCredentials(tls, bearer),
    CHANNEL,
  )
}

/** Without environment: it is secret, and only the owner of an intercept gets it. */
function agentInfo({ config, podIp, podName, podUid }: Settings): MessageInitShape<typeof pb.AgentInfoSchema> {
  return {
    apiPort: config.apiPort,
    containers: Object.fromEntries(config.containers.map(({ mounts, name }) => [name, { mountPoint: '/', mounts: mountPolicies(mounts) }])),
    kind: config.workloadKind,
    mechanisms: [{ name: 'tcp', product: CLIENT_PRODUCT, version: ANNOUNCED_VERSION }],
    name: config.workload,
    namespace: config.namespace,
    podIp,
    podName,
    podUid,
    product: CLIENT_PRODUCT,
    sftpPort: config.apiPort,
    version: ANNOUNCED_VERSION,
  }
}

function deadline(timeoutMs: number = CALL_TIMEOUT_MS): grpc.CallOptions {
  return { deadline: Date.now() + timeoutMs }
}
