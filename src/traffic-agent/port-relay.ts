// One listener per port whose name the agent took over:
//   caller --TCP--> agent --> developer, on a mux (wire/mux.ts), while its pipe is up
//                         --> app container, podIP:containerPort, otherwise
import net from 'node:net'
import { messageOf } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import type { AgentPort } from '../wire/agent-config.ts'
import { formatRequest } from '../wire/data-stream.ts'
import { join } from '../wire/join.ts'
import type { Mux } from '../wire/mux.ts'
import type { MuxStream } from '../wire/mux-stream.ts'
import { isOpen, type Route } from './attachment-table.ts'
import { joinSockets } from './join-sockets.ts'

/** What a relay needs to know. `route` answers who serves a new connection; undefined: the app. */
export type RelayOptions = { host?: string; logger: Logger; podIp: string; port: AgentPort; route: () => Route | undefined }

/** A listening relay. */
export class PortRelay {
  readonly #callers = new Set<net.Socket>()
  readonly #options: RelayOptions
  readonly #server: net.Server

  constructor(options: RelayOptions) {
    this.#options = options
    this.#server = net.createServer({ allowHalfOpen: true, noDelay: true }, (caller) => this.#accept(caller))
  }

  /** Listens on all addresses, or on `host`; resolves with the port. */
  listen(): Promise<number> {
    const { host, port } = this.#options
    return new Promise((resolve, reject) => {
      const listening = (): void => resolve((this.#server.address() as net.AddressInfo).port)
      this.#server.once('error', (error: NodeJS.ErrnoException) => {
        // A node without IPv6 has no `::`.
        if (host !== undefined || error.code !== 'EAFNOSUPPORT') return void reject(error)
        this.#server.once('error', reject).listen(port.agentPort, '0.0.0.0')
      })
      this.#server.once('listening', listening).listen(port.agentPort, host ?? '::')
    })
  }

  /** How many callers are connected. */
  get connections(): number {
    return this.#callers.size
  }

  /** Stops listening and resets the callers that are left. */
  close(): void {
    this.#server.close()
    for (const caller of this.#callers) caller.resetAndDestroy()
  }

  #accept(caller: net.Socket): void {
    this.#callers.add(caller)
    caller.once('close', () => this.#callers.delete(caller))
    this.#dispatch(caller)
  }

  #dispatch(caller: net.Socket): void {
    const route = this.#options.route()
    if (route) void this.#toDeveloper(caller, route)
    else this.#toApp(caller)
  }

  async #toDeveloper(caller: net.Socket, { attachment, mux }: Route): Promise<void> {
    const gone = new AbortController()
    const leave = (): void => gone.abort()
    caller.on('error', leave).on('close', leave)
    try {
      const request = formatRequest({
        destination: { host: attachment.targetHost, port: attachment.targetPort },
        protocol: 'tcp',
        source: { host: plainAddress(caller.remoteAddress), port: caller.remotePort ?? 0 },
      })
      const stream = await this.#ask(mux, request, gone.signal)
      caller.off('close', leave)
      join(stream, caller)
    } catch (error) {
      caller.off('close', leave)
      if (caller.destroyed) return
      this.#options.logger.debug({ error: messageOf(error), port: this.#options.port.containerPort }, 'developer did not take a connection')
      // Refused by the developer's app: the caller must see that. Session gone without an answer: nobody refused, the app serves.
      if (isOpen(mux)) caller.resetAndDestroy()
      else this.#dispatch(caller)
    }
  }

  /** Asks the developer's side; given up when the way there is cut before it has answered. */
  async #ask(mux: Mux, request: string, gone: AbortSignal): Promise<MuxStream> {
    const cut = new AbortController()
    const unwatch = mux.pipe.onStrand(() => {
      if (!mux.pipe.isUp) cut.abort()
    })
    try {
      return await mux.open(request, AbortSignal.any([gone, cut.signal]))
    } finally {
      unwatch()
    }
  }

  #toApp(caller: net.Socket): void {
    const { podIp, port } = this.#options
    const app = net.connect({ allowHalfOpen: true, host: podIp, noDelay: true, port: port.containerPort })
    const refuse = (): void => void caller.resetAndDestroy()
    const abandon = (): void => void app.destroy()
    app.once('error', refuse)
    caller.once('error', abandon).once('close', abandon)
    app.once('connect', () => {
      app.off('error', refuse)
      caller.off('error', abandon).off('close', abandon)
      joinSockets(caller, app)
    })
  }
}

/** IPv4 callers of a listener on `::` show as `::ffff:a.b.c.d`. */
function plainAddress(address: string | undefined): string {
  return (address ?? '0.0.0.0').replace(/^::ffff:(?=[\d.]+$)/, '')
}
