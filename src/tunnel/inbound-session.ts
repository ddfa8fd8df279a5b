import { once } from 'node:events'
import net from 'node:net'
import { messageOf, systemCode } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import type { AgentPodInfo } from '../wire/generated/manager_pb.ts'
import { join } from '../wire/join.ts'
import type { Mux, Offer } from '../wire/mux.ts'
import type { Carrier } from './carrier.ts'
import { PipeKeeper, type PipeStatus } from './pipe-keeper.ts'

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
async function accept({ accept, gone, refuse }: Offer, port: number): Promise<void> {
  try {
    const socket = await dialApp(port, gone)
    join(accept(), socket)
  } catch (error) {
    refuse(systemCode(error) ?? 'ECONNRESET')
  }
}

/** What an inbound session works with. */
export type InboundOptions = {
  carrier: Carrier
  graceMs: () => number
  key: string
  localPort: number
  logger: Logger
  onChange: () => void
}

/** The pipe on which one agent hands over the connections of the taken-over port; kept until it is closed. */
export class InboundSession {
  /** Why it is not connected: '' before the first try has ended, null while it is. */
  error: string | null = ''
  readonly pod: AgentPodInfo
  readonly #ending = new AbortController()
  readonly #options: InboundOptions
  readonly #pipe: PipeKeeper

  constructor(pod: AgentPodInfo, options: InboundOptions) {
    this.pod = pod
    this.#options = options
    const { carrier, graceMs, key, localPort } = options
    const { apiPort, namespace, podName } = pod
    const target = { kind: 'pod', name: podName, namespace, port: apiPort } as const
    const onMux = (mux: Mux): void => {
      mux.onOffer = (offer) => void accept(offer, localPort)
    }
    this.#pipe = new PipeKeeper({ carrier, graceMs, onMux, strand: async () => ({ bearer: key, target, verb: 'inbound' }) })
    this.#pipe.state.onChange((status) => this.#follow(status))
    void this.#pipe.run(this.#ending.signal)
  }

  get isConnected(): boolean {
    return this.error === null
  }

  /** Takes no new connection from now on; the agent gives those to the app container. */
  close(): void {
    this.#ending.abort()
    this.#pipe.state.value.mux?.drain()
    setTimeout(() => this.#pipe.destroy(), GRACE_MS).unref()
  }

  /** The Pod is gone, and with it everything that it carried. */
  abandon(): void {
    this.#ending.abort()
    this.#pipe.destroy()
  }

  #follow({ error, isUp }: PipeStatus): void {
    // No error yet: the first strand is on its way.
    const reason = isUp ? null : error ? messageOf(error) : this.error
    if (reason === this.error) return
    if (reason !== null) this.#options.logger.debug({ pod: this.pod.podName, reason }, 'no inbound session')
    this.error = reason
    this.#options.onChange()
  }
}
