// What clients reach through Kubernetes' port-forward, on the Pod's loopback only:
//   gRPC (Telepresence's Agent service); `TPX/1 inbound KEY …`: a strand of the pipe (wire/pipe-host.ts) on which
//   connections of the attachment's port come out;
//   `TPX/1 outbound KEY …`: a strand of the pipe on which a client asks for connections from this Pod (`--proxy-via`);
//   `TPX/1 files KEY [rw]`: SFTP for the attachment's container, read-only unless "rw".
import net from 'node:net'
import * as grpc from '@grpc/grpc-js'
import { asTpxError, TpxError } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import { answerRequest } from '../outbound/answer-request.ts'
import type { Dialer } from '../outbound/dialer.ts'
import type { AgentContainer } from '../wire/agent-config.ts'
import { PipeHost, readStrandWords } from '../wire/pipe-host.ts'
import { ACCEPTED, formatRefusal, type Preface, readPreface } from '../wire/preface.ts'
import type { Attachment, AttachmentTable } from './attachment-table.ts'
import { serveFiles } from './sftp-server.ts'

/** A peer must say what it wants within this time. */
const PREFACE_TIMEOUT_MS = 10_000
/** Bounds memory: a session of files takes about 1 MiB at most. */
const MAX_CONNECTIONS = 64

/** What the API is made of. `port` 0 picks a free one. */
export type ClientApiOptions = {
  containers: readonly AgentContainer[]
  dialer: Dialer
  logger: Logger
  port: number
  server: grpc.Server
  table: AttachmentTable
}

/** The listening API. */
export class ClientApi {
  readonly #injector: ReturnType<grpc.Server['createConnectionInjector']>
  readonly #options: ClientApiOptions
  readonly #pipes = new PipeHost()
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
    this.#pipes.close()
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

  /** @throws TpxError ATTACHMENT_NOT_FOUND, SESSION_LOST, USAGE */
  #serve(socket: net.Socket, { args: [key = '', ...words], verb }: Extract<Preface, { kind: 'tpx' }>): void {
    if (verb === 'inbound') return this.#inbound(socket, key, words)
    if (verb === 'outbound') return this.#outbound(socket, key, words)
    if (verb !== 'files') throw new TpxError('USAGE', `The traffic-agent knows no "${verb.slice(0, 20)}" stream`)
    const attachment = this.#find(key, 'intercept')
    socket.write(ACCEPTED)
    this.#files(socket, attachment, words[0] !== 'rw')
  }

  /** A key is good for one purpose only. */
  #find(key: string, kind: Attachment['kind']): Attachment {
    const attachment = this.#options.table.find(key)
    if (attachment?.kind !== kind) throw new TpxError('ATTACHMENT_NOT_FOUND', 'The workload has no attachment with that stream key')
    return attachment
  }

  #inbound(socket: net.Socket, key: string, words: string[]): void {
    const { logger, table } = this.#options
    this.#pipes.accept(socket, readStrandWords(words), (mux) => {
      const { containerPort: port, id } = this.#find(key, 'intercept')
      table.addMux(key, mux)
      const note = (): void => logger.info({ attachment: id, port }, mux.pipe.isUp ? 'port goes to the developer' : 'port goes to the app')
      mux.pipe.onStrand(note)
    })
  }

  #outbound(socket: net.Socket, key: string, words: string[]): void {
    const { dialer, logger, table } = this.#options
    this.#pipes.accept(socket, readStrandWords(words), (mux) => {
      const { id } = this.#find(key, 'outbound')
      table.addMux(key, mux)
      mux.onOffer = (offer) => void answerRequest(offer, dialer)
      logger.info({ attachment: id }, 'dials for a client')
    })
  }

  #files(socket: net.Socket, attachment: Attachment, readOnly: boolean): void {
    const container = this.#options.containers.find(({ name }) => name === attachment.container)
    this.#options.table.addFiles(attachment.key, socket)
    void serveFiles(socket, { mounts: container?.mounts ?? [], readOnly })
  }
}
