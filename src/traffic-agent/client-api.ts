// What clients reach through Kubernetes' port-forward, on the Pod's loopback only:
//   gRPC (Telepresence's Agent service); `TPX/1 inbound KEY`: connections of the attachment's port come out of this stream;
//   `TPX/1 files KEY [rw]`: SFTP for the attachment's container, read-only unless "rw";
//   `TPX/1 outbound KEY`: connections that the client asks for are dialed from this Pod (`--proxy-via`).
import net from 'node:net'
import * as grpc from '@grpc/grpc-js'
import { asTpxError, TpxError } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import { answerRequest } from '../outbound/answer-request.ts'
import type { Dialer } from '../outbound/dialer.ts'
import type { AgentContainer } from '../wire/agent-config.ts'
import { dataServer } from '../wire/data-stream.ts'
import { ACCEPTED, formatRefusal, type Preface, readPreface } from '../wire/preface.ts'
import type { Attachment, AttachmentTable } from './attachment-table.ts'
import { openInboundSession } from './inbound-session.ts'
import { serveFiles } from './sftp-server.ts'

/** A peer must say what it wants within this time. */
const PREFACE_TIMEOUT_MS = 10_000
/** Bounds memory: a session of files takes about 1 MiB at most. */
const MAX_CONNECTIONS = 64

/** What the API is made of. `port` 0 picks a free one; `pingEveryMs` is for tests. */
export type ClientApiOptions = {
  containers: readonly AgentContainer[]
  dialer: Dialer
  logger: Logger
  pingEveryMs?: number
  port: number
  server: grpc.Server
  table: AttachmentTable
}

/** The listening API. */
export class ClientApi {
  readonly #injector: ReturnType<grpc.Server['createConnectionInjector']>
  readonly #options: ClientApiOptions
  readonly #server = net.createServer({ noDelay: true }, (socket) => void this.#accept(socket))
  readonly #sockets = new Set<net.Socket>()

  constructor(options: ClientApiOptions) {
    this.#options = options
    this.#injector = options.server.createConnectionInjector(grpc.ServerCredentials.createInsecure())
    this.#server.maxConnections = MAX_CONNECTIONS
  }

  /** Listens on loopback; resolves with the port. */
  listen(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(this.#options.port, '127.0.0.1', () => resolve((this.#server.address() as net.AddressInfo).port))
    })
  }

  close(): void {
    this.#server.close()
    this.#injector.destroy()
    for (const socket of this.#sockets) socket.destroy()
  }

  async #accept(socket: net.Socket): Promise<void> {
    this.#sockets.add(socket)
    socket.on('error', () => {}).once('close', () => this.#sockets.delete(socket))
    const timer = setTimeout(() => socket.destroy(), PREFACE_TIMEOUT_MS)
    try {
      const preface = await readPreface(socket)
      if (preface.kind === 'http2') this.#injector.injectConnection(socket)
      else this.#serve(socket, preface)
    } catch (error) {
      const { code, message } = asTpxError(error)
      this.#options.logger.debug({ code }, 'client refused')
      if (socket.writable) socket.end(formatRefusal(code, message))
    } finally {
      clearTimeout(timer)
    }
  }

  /** @throws TpxError ATTACHMENT_NOT_FOUND, USAGE */
  #serve(socket: net.Socket, { args: [key = '', mode], verb }: Extract<Preface, { kind: 'tpx' }>): void {
    if (verb !== 'inbound' && verb !== 'files' && verb !== 'outbound')
      throw new TpxError('USAGE', `The traffic-agent knows no "${verb.slice(0, 20)}" stream`)
    const attachment = this.#options.table.find(key)
    // A key is good for one purpose only.
    if (!attachment || (verb === 'outbound') !== (attachment.kind === 'outbound'))
      throw new TpxError('ATTACHMENT_NOT_FOUND', 'The workload has no attachment with that stream key')
    socket.write(ACCEPTED)
    if (verb === 'inbound') this.#inbound(socket, attachment)
    else if (verb === 'outbound') this.#outbound(socket, attachment)
    else this.#files(socket, attachment, mode !== 'rw')
  }

  #inbound(socket: net.Socket, attachment: Attachment): void {
    const { logger, pingEveryMs, table } = this.#options
    const session = openInboundSession(socket, pingEveryMs)
    table.addSession(attachment.key, session)
    logger.info({ attachment: attachment.id, port: attachment.containerPort }, 'port goes to the developer')
    session.once('close', () => logger.info({ attachment: attachment.id, port: attachment.containerPort }, 'inbound session closed'))
  }

  #outbound(socket: net.Socket, attachment: Attachment): void {
    const { dialer, logger, table } = this.#options
    const session = dataServer(socket, (request, headers) => void answerRequest(request, headers, dialer))
    table.addStream(attachment.key, socket)
    logger.info({ attachment: attachment.id }, 'dials for a client')
    session.once('close', () => socket.destroy())
  }

  #files(socket: net.Socket, attachment: Attachment, readOnly: boolean): void {
    const container = this.#options.containers.find(({ name }) => name === attachment.container)
    this.#options.table.addStream(attachment.key, socket)
    void serveFiles(socket, { mounts: container?.mounts ?? [], readOnly })
  }
}
