import { once } from 'node:events'
import net from 'node:net'
import { type Duplex, pipeline } from 'node:stream'
import { messageOf } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import type { AgentPodInfo } from '../wire/generated/manager_pb.ts'
import type { Carrier } from './carrier.ts'
import { openTpx } from './tpx-stream.ts'

/** What a listener needs to reach an agent; asked for every connection anew. */
export type FilesSource = { key: () => string; pods: () => AgentPodInfo[] }

/**
 * Serves an attachment's volumes to the mount container: each TCP connection to a port on 127.0.0.1 becomes a raw SFTP stream
 * (no SSH) to one agent. A connection that cannot be served is reset, so that sshfs answers EIO and connects anew instead of
 * leaving readers in uninterruptible sleep.
 */
export class FilesListener {
  readonly #carrier: Carrier
  readonly #ending = new AbortController()
  readonly #logger: Logger
  readonly #server: net.Server
  readonly #sockets = new Set<net.Socket>()
  readonly #source: FilesSource

  private constructor(options: { carrier: Carrier; logger: Logger; source: FilesSource }) {
    this.#carrier = options.carrier
    this.#logger = options.logger
    this.#source = options.source
    this.#server = net.createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket) => void this.#serve(socket))
  }

  /** @param options `port`: the one that mount containers know from a tunnel before this one; 0, and where it is taken: any */
  static async start(options: { carrier: Carrier; logger: Logger; port: number; source: FilesSource }): Promise<FilesListener> {
    const listener = new FilesListener(options)
    const listen = async (port: number): Promise<void> => {
      listener.#server.listen({ host: '127.0.0.1', port })
      await once(listener.#server, 'listening')
    }
    await listen(options.port).catch((error: unknown) => {
      if (options.port === 0) throw error
      return listen(0)
    })
    return listener
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo | null)?.port ?? 0
  }

  /** Resets every connection: the way to the agents is frozen. */
  reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  close(): void {
    this.#ending.abort()
    this.#server.close()
    this.reset()
  }

  async #serve(socket: net.Socket): Promise<void> {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket)).on('error', () => {})
    try {
      const stream = await this.#open()
      if (socket.destroyed) return void stream.destroy()
      // Ends alone say nothing: whichever side goes, the other is reset.
      pipeline(socket, stream, () => socket.resetAndDestroy())
      pipeline(stream, socket, () => {
        stream.destroy()
        socket.resetAndDestroy()
      })
    } catch (error) {
      this.#logger.warn(`no stream for a volume: ${messageOf(error)}`)
      socket.resetAndDestroy()
    }
  }

  /** The first agent that answers. */
  async #open(): Promise<Duplex> {
    let failure: unknown = new Error('The workload has no traffic-agent just now')
    for (const { apiPort, namespace, podName } of this.#source.pods()) {
      try {
        const target = { kind: 'pod', name: podName, namespace, port: apiPort } as const
        return (await openTpx(this.#carrier, target, ['files', this.#source.key()], this.#ending.signal)).stream
      } catch (error) {
        failure = error
      }
    }
    throw failure
  }
}
