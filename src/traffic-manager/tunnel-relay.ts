// A connection that an agent accepted for a client that has no stream to the agent (Telepresence 2.20):
//   agent --Manager.Tunnel + session--> manager --DialRequest on Manager.WatchDial--> client --Manager.Tunnel, same ConnID--> manager
import type { ConnectionId } from '../wire/connection-id.ts'
import { encodeConnectionId } from '../wire/connection-id.ts'
import type { StreamInfo } from '../wire/tunnel-message.ts'
import { TpxError } from '../base/error.ts'
import type { ClientSession } from './sessions.ts'
import type { TunnelEnd } from './tunnel-end.ts'

/** Asks a client to dial; false when it cannot be told any more. */
export type DialWatcher = (request: { connectionId: ConnectionId; info: StreamInfo }) => boolean

/** Brings agents' tunnels and the answering tunnels of their clients together. */
export class TunnelRelay {
  readonly #waiting = new Map<string, (end: TunnelEnd) => void>()
  readonly #watchers = new Map<ClientSession, DialWatcher>()

  /** Registers a client's WatchDial; the latest one counts. Answers how to leave. */
  watch(client: ClientSession, watcher: DialWatcher): () => void {
    this.#watchers.set(client, watcher)
    return () => {
      if (this.#watchers.get(client) === watcher) this.#watchers.delete(client)
    }
  }

  /**
   * Asks a client to dial, and waits for its tunnel.
   * @throws TpxError AGENT_UNREACHABLE when the client does not watch, or does not answer within dial time-out + round trip
   */
  dial(client: ClientSession, info: StreamInfo, signal: AbortSignal): Promise<TunnelEnd> {
    const key = keyOf(client, info.connectionId)
    const timeoutMs = Number((info.dialTimeoutNs + info.roundtripLatencyNs) / 1_000_000n)
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(key)
        signal.removeEventListener('abort', onAbort)
      }
      const fail = (why: string): void => {
        settle()
        reject(new TpxError('AGENT_UNREACHABLE', `The client cannot be asked for a connection: ${why}`))
      }
      const onAbort = (): void => fail('the agent gave up')
      const timer = setTimeout(() => fail('it did not answer in time'), timeoutMs)
      signal.addEventListener('abort', onAbort, { once: true })
      this.#waiting.set(key, (end) => {
        settle()
        resolve(end)
      })
      if (!this.#watchers.get(client)?.({ connectionId: info.connectionId, info })) fail('it does not watch for dial requests')
    })
  }

  /** Hands a client's tunnel to the agent's that waits for it; false when none does. */
  answer(client: ClientSession, connectionId: ConnectionId, end: TunnelEnd): boolean {
    const waiting = this.#waiting.get(keyOf(client, connectionId))
    waiting?.(end)
    return waiting !== undefined
  }
}

function keyOf(client: ClientSession, connectionId: ConnectionId): string {
  return `${client.id} ${encodeConnectionId(connectionId).toString('hex')}`
}

/**
 * Copies messages between two tunnels until both directions ended, or one end is lost. Both peers are callers: what one
 * says by half-closing its call, the other must hear as closeSend.
 */
export async function relayTunnels(a: TunnelEnd, b: TunnelEnd): Promise<void> {
  const abort = (): void => {
    a.stop()
    b.stop()
  }
  for (const { lost } of [a, b]) lost.addEventListener('abort', abort, { once: true })
  const clean = await Promise.all([copy(a, b, abort), copy(b, a, abort)])
  for (const end of [a, b]) {
    if (clean.includes(false)) await end.send({ kind: 'disconnect' })
    end.end()
  }
}

/** Answers false when the connection must be aborted, after it stopped both directions. */
async function copy(from: TunnelEnd, to: TunnelEnd, abort: () => void): Promise<boolean> {
  for (;;) {
    const payload = await from.receive()
    if (from.lost.aborted || to.lost.aborted || payload?.kind === 'disconnect') {
      abort()
      return false
    }

    if (payload === undefined || payload.kind === 'closeSend') {
      await to.send({ kind: 'closeSend' })
      return true
    }

    if (payload.kind !== 'keepAlive') await to.send(payload)
    if (payload.kind === 'dialReject') {
      abort()
      return true
    }
  }
}
