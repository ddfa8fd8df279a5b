import { create } from '@bufbuild/protobuf'
import type { Logger } from '../base/logger.ts'
import type { Attachment, AttachParams, RemoteMount } from '../wire/control.ts'
import { type AgentPodInfo, type InterceptInfo, InterceptInfoSchema, PreparedInterceptSchema } from '../wire/generated/manager_pb.ts'
import { STREAM_KEY } from '../wire/versions.ts'
import type { Carrier } from './carrier.ts'
import type { Engagement } from './engage.ts'
import { FilesListener } from './files-listener.ts'
import { InboundSessions } from './inbound-sessions.ts'

/** Mount policies (InterceptInfo.mounts): 0 and 1 are served to clients, 2 and 3 are not. */
const SERVED_READ_ONLY: Readonly<Record<number, boolean>> = { 0: false, 1: true }

function mountsOf(info: InterceptInfo): RemoteMount[] {
  return Object.entries(info.mounts)
    .filter(([, policy]) => policy in SERVED_READ_ONLY)
    .map(([path, policy]) => ({ path, readOnly: SERVED_READ_ONLY[policy] ?? true }))
    .sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** What an attachment's streams need. */
export type OpenOptions = { carrier: Carrier; graceMs: () => number; logger: Logger }

/** One attachment of this connection: what was asked for, what the manager made of it, and the streams that belong to it. */
export class HeldAttachment {
  readonly ending = new AbortController()
  engagement: Engagement | null = null
  inbound: InboundSessions | null = null
  readonly params: AttachParams
  /** The session in which the intercept was created. */
  sessionId: string | null = null
  /** Whether it shall outlive a lost session: it was made once. */
  kept = false
  /** false while it is being made, for the first time or again after a lost session. */
  settled = false
  state: Attachment['state'] = 'waiting'
  #files: FilesListener | null = null
  #info: InterceptInfo | null = null
  readonly #wantedSftpPort: number

  /** @param sftpPort of the same attachment in a tunnel before this one */
  constructor(params: AttachParams, sftpPort = 0) {
    this.params = params
    this.#wantedSftpPort = sftpPort
  }

  get isOpen(): boolean {
    return this.inbound !== null
  }

  get sftpPort(): number {
    return this.#files?.port ?? this.#wantedSftpPort
  }

  get localPort(): number {
    return this.engagement?.localPort ?? this.params.localPort ?? 0
  }

  /** Opens the port of the volumes and the place for the agents' sessions. */
  async open(engagement: Engagement, { carrier, graceMs, logger }: OpenOptions): Promise<void> {
    this.engagement = engagement
    const inbound = new InboundSessions({ carrier, graceMs, localPort: engagement.localPort, logger })
    this.inbound = inbound
    const source = { key: () => this.streamKey, pods: () => inbound.pods }
    this.#files = await FilesListener.start({ carrier, logger, port: this.#wantedSftpPort, source })
    if (this.ending.signal.aborted) this.close()
  }

  /** Takes over what the manager says about the ACTIVE intercept. */
  activate(info: InterceptInfo): void {
    this.#info = info
    this.state = 'active'
  }

  /** Keeps the agents' sessions in step with the Pods that there are. */
  follow(pods: readonly AgentPodInfo[]): void {
    if (!this.#info || this.ending.signal.aborted) return
    const { namespace } = this.#info.spec ?? {}
    this.inbound?.update(
      pods.filter((pod) => pod.workloadName === this.params.workload && pod.namespace === namespace),
      this.streamKey,
    )
  }

  /** Resets the volumes' connections, so that sshfs does not wait on a frozen path. */
  resetFiles(): void {
    this.#files?.reset()
  }

  close(): void {
    this.ending.abort()
    this.inbound?.close()
    this.#files?.close()
  }

  /** @param secrets whether the environment goes along */
  view({ secrets }: { secrets: boolean }): Attachment {
    const prepared = this.engagement?.prepared ?? create(PreparedInterceptSchema)
    const info = this.#info ?? create(InterceptInfoSchema)
    return {
      container: prepared.containerName,
      containerPort: prepared.containerPort,
      environment: secrets ? info.environment : {},
      environmentNames: Object.keys(info.environment).sort(),
      kind: this.params.kind,
      localPort: this.localPort,
      mounts: mountsOf(info),
      name: this.params.name,
      namespace: info.spec?.namespace ?? '',
      podIp: info.podIp,
      serviceName: prepared.serviceName,
      servicePort: prepared.servicePort,
      servicePortName: prepared.servicePortName,
      sftpPort: this.sftpPort,
      state: this.state,
      workload: this.params.workload,
      workloadKind: prepared.workloadKind,
    }
  }

  get streamKey(): string {
    return this.#info?.metadata[STREAM_KEY] ?? ''
  }
}
