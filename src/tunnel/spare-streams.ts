import { once } from 'node:events'
import { rmSync } from 'node:fs'
import net from 'node:net'
import type { Duplex } from 'node:stream'

type Waiter = { reject: (error: Error) => void; resolve: (stream: Duplex) => void }

/** The exec carrier's end: the link keeps a bridge connected here, each is taken for one stream. */
export class SpareStreams {
  readonly #limitMs: number
  readonly #server: net.Server
  readonly #spares = new Set<net.Socket>()
  readonly #waiters = new Set<Waiter>()

  private constructor(limitMs: number) {
    this.#limitMs = limitMs
    this.#server = net.createServer({ allowHalfOpen: true }, (socket) => this.#add(socket))
  }

  /**
   * @param path of the socket; one that a dead tunnel left is replaced
   * @param limitMs how long {@link take} waits for the link
   */
  static async listen(path: string, limitMs: number): Promise<SpareStreams> {
    const spares = new SpareStreams(limitMs)
    rmSync(path, { force: true })
    spares.#server.listen(path)
    await once(spares.#server, 'listening')
    return spares
  }

  /** @throws Error when no bridge came in time */
  take(): Promise<Duplex> {
    for (const socket of this.#spares) {
      this.#spares.delete(socket)
      if (!socket.destroyed) return Promise.resolve(socket.pause())
    }
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        reject,
        resolve: (stream) => {
          clearTimeout(timer)
          this.#waiters.delete(waiter)
          resolve(stream)
        },
      }
      const timer = setTimeout(() => {
        this.#waiters.delete(waiter)
        reject(new Error(`No stream from the link within ${this.#limitMs / 1000} s`))
      }, this.#limitMs)
      this.#waiters.add(waiter)
    })
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#spares) socket.destroy()
    for (const { reject } of this.#waiters) reject(new Error('The tunnel is ending'))
    this.#waiters.clear()
  }

  #add(socket: net.Socket): void {
    const drop = (): void => {
      if (this.#spares.delete(socket)) socket.destroy()
    }
    // Nothing comes before the target is named; reading only shows the end of a bridge that died.
    socket.on('error', drop).on('end', drop).on('close', drop)
    const [waiter] = this.#waiters
    if (waiter) return waiter.resolve(socket)
    this.#spares.add(socket)
    socket.resume()
  }
}
