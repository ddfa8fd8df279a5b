import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemCode, TpxError } from '../base/error.ts'
import { dialedSocket, type Target } from '../proxy/dial.ts'
import { checkAnswer, DIAL_SOCKET } from '../wire/carrier.ts'
import { DialError, type Dialed, type DialSession, openDialSession, OUTSIDE } from '../wire/dial-session.ts'
import { readLine } from '../wire/preface.ts'
import { type EngineSource, listConnections, selectConnection, useConnection } from './connection.ts'
import { runtimeDir } from './runtime-dir.ts'
import { within } from './within.ts'

/** How long a dial waits for a way to the tunnel that is being made again. */
const PATIENCE_MS = 5000
const RETRY_MS = 200
/** How long a dead link is left to its supervisor. */
const DEAD_MS = 5000

/** Which connection, and how a dead link of it is started again. */
export type ClusterDialerOptions = { connection: string; engine: EngineSource; root: string }

/**
 * Dials for a proxy of this host: what belongs to the cluster through the tunnel of a connection, all else as if there were no proxy.
 * A lost way to the tunnel is made again for the next dial.
 */
export class ClusterDialer {
  readonly #options: ClusterDialerOptions
  #deadSince: number | null = null
  #session: Promise<DialSession> | undefined

  constructor(options: ClusterDialerOptions) {
    this.#options = options
  }

  /** Opens the way to the tunnel unless it is open. @throws TpxError why there is none; CONNECTION_NOT_FOUND when it is gone for good */
  open(): Promise<DialSession> {
    this.#session ??= this.#openSession().then(
      (session) => {
        void session.closed.then(() => (this.#session = undefined))
        return session
      },
      (error: unknown) => {
        this.#session = undefined
        throw error
      },
    )
    return this.#session
  }

  /** @throws DialError, or a system error of this host's own attempt */
  async dial(target: Target, signal: AbortSignal): Promise<Dialed> {
    const end = performance.now() + PATIENCE_MS
    for (;;) {
      const session = await this.#openPatiently(end, signal)
      try {
        return await session.dial(target, signal)
      } catch (error) {
        if (systemCode(error) === OUTSIDE) return dialedSocket(await dialDirectly(target, signal))
        // The verdict was lost with the session: nobody has connected for us, so it may be asked for again.
        if (!session.isClosed || signal.aborted || performance.now() > end) throw error
      }
    }
  }

  close(): void {
    void this.#session?.then((session) => session.close()).catch(() => {})
  }

  async #openPatiently(end: number, signal: AbortSignal): Promise<DialSession> {
    while (!signal.aborted && performance.now() < end) {
      let isFinal = false
      const opening = this.open().catch((error: unknown) => {
        isFinal = isGone(error)
        throw error
      })
      const session = await within(opening, end - performance.now())
      if (session) return session
      if (isFinal) break
      await sleep(RETRY_MS, undefined, { signal }).catch(() => {})
    }
    throw new DialError('ENETUNREACH')
  }

  async #openSession(): Promise<DialSession> {
    const socket = (await connectToLink(this.#options.connection)) ?? (await this.#whenDead())
    this.#deadSince = null
    try {
      checkAnswer(await readLine(socket))
      return openDialSession(socket)
    } catch (error) {
      socket.destroy()
      throw error
    }
  }

  /** A dead link is started again by its supervisor, and not by us while the connection is just being ended. */
  async #whenDead(): Promise<Socket> {
    const { connection, engine, root } = this.#options
    const known = (await listConnections(await engine())).map((value) => ({ name: value.settings.name, value }))
    selectConnection(known, connection)
    this.#deadSince ??= performance.now()
    if (performance.now() - this.#deadSince > DEAD_MS) {
      const { control } = await useConnection({ engine, root, use: connection })
      control.close()
      const socket = await connectToLink(connection)
      if (socket) return socket
    }
    throw new TpxError('LINK_FAILED', 'The link of the connection does not answer', { hint: 'See "tpx status"' })
  }
}

/** Tells that there is nothing to wait for. */
export function isGone(error: unknown): boolean {
  return error instanceof TpxError && error.code === 'CONNECTION_NOT_FOUND'
}

/** Undefined where no link is alive. */
async function connectToLink(connection: string): Promise<Socket | undefined> {
  const socket = connect({ allowHalfOpen: true, path: join(runtimeDir(connection), DIAL_SOCKET) })
  try {
    await once(socket, 'connect')
    return socket.on('error', () => {})
  } catch {
    return undefined
  }
}

async function dialDirectly({ host, port }: Target, signal: AbortSignal): Promise<Socket> {
  const socket = connect({ allowHalfOpen: true, host, noDelay: true, port })
  try {
    await once(socket, 'connect', { signal })
    return socket
  } catch (error) {
    socket.destroy()
    throw error
  }
}
