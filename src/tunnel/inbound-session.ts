import { once } from 'node:events'
import type http2 from 'node:http2'
import net from 'node:net'
import { messageOf, systemCode } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import { keepTrying } from '../base/retry.ts'
import { dataServer, refuse } from '../wire/data-stream.ts'
import type { AgentPodInfo } from '../wire/generated/manager_pb.ts'
import { join } from '../wire/join.ts'
import type { Carrier } from './carrier.ts'
import { destroyWhenSilent, loseSession } from './http2-liveness.ts'
import { openTpx } from './tpx-stream.ts'

const BACKOFF = { firstMs: 50, mostMs: 2000 }
const SILENT_MS = 8000
/** Connections that are on their way may finish for so long after the attachment has ended, milliseconds. */
const GRACE_MS = 1000

/** Where the agents' connections go: the app may listen on either loopback address (Vite and others take ::1 only). */
const LOOPBACKS = ['127.0.0.1', '::1'] as const

/** Connects to the app. @throws the system's error of the first address when none answers */
async function dialApp(port: number, signal: AbortSignal): Promise<net.Socket> {
  let failure: unknown
  for (const host of LOOPBACKS) {
    const socket = net.connect({ allowHalfOpen: true, host, noDelay: true, port })
    try {
      await once(socket, 'connect', { signal })
      return socket
    } catch (error) {
      socket.destroy()
      failure ??= error
      if (signal.aborted || systemCode(error) !== 'ECONNREFUSED') break
    }
  }
  throw failure
}

/** Answers one connection of the taken-over port: dials the app, tells the agent honestly, joins the two. */
async function accept(stream: http2.ServerHttp2Stream, port: number): Promise<void> {
  const gone = new AbortController()
  const onGone = (): void => gone.abort()
  stream.once('close', onGone)
  try {
    const socket = await dialApp(port, gone.signal)
    stream.off('close', onGone)
    if (stream.destroyed) return void socket.resetAndDestroy()
    stream.respond({ ':status': 200 })
    join(stream, socket)
  } catch (error) {
    refuse(stream, systemCode(error) ?? 'ECONNRESET')
  }
}

/** The stream on which one agent hands over the connections of the taken-over port; opened again until it is closed. */
export class InboundSession {
  /** Why it is not connected: '' before the first try has ended, null while it is. */
  error: string | null = ''
  readonly pod: AgentPodInfo
  readonly #ending = new AbortController()
  readonly #options: { carrier: Carrier; key: string; localPort: number; logger: Logger; onChange: () => void }
  #session: http2.ServerHttp2Session | undefined

  constructor(pod: AgentPodInfo, options: { carrier: Carrier; key: string; localPort: number; logger: Logger; onChange: () => void }) {
    this.pod = pod
    this.#options = options
    const { signal } = this.#ending
    void keepTrying(() => this.#live(signal), { backoff: BACKOFF, onError: (error) => this.#set(messageOf(error)), signal })
  }

  get isConnected(): boolean {
    return this.error === null
  }

  /** Takes no new connection from now on; the agent gives those to the app container. */
  close(): void {
    this.#ending.abort()
    const session = this.#session
    session?.close()
    if (session) setTimeout(() => loseSession(session), GRACE_MS).unref()
  }

  #set(error: string | null): void {
    if (error === this.error) return
    if (error !== null) this.#options.logger.debug({ pod: this.pod.podName, reason: error }, 'no inbound session')
    this.error = error
    this.#options.onChange()
  }

  async #live(signal: AbortSignal): Promise<boolean> {
    const { carrier, key, localPort } = this.#options
    const { apiPort, namespace, podName } = this.pod
    const stream = await openTpx(carrier, { kind: 'pod', name: podName, namespace, port: apiPort }, ['inbound', key], signal)
    const session = dataServer(stream, (request) => void accept(request, localPort))
    destroyWhenSilent(session, stream, SILENT_MS)
    this.#session = session
    this.#set(null)
    await once(session, 'close')
    stream.destroy()
    throw new Error('The agent closed the stream')
  }
}
