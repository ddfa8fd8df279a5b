import { create } from '@bufbuild/protobuf'
import { type DialRequest, DialRequestSchema, Manager } from '../wire/generated/manager_pb.ts'
import { encodeConnectionId } from '../wire/connection-id.ts'
import type { HandlerFactory, Handlers } from './grpc-handlers.ts'
import type { ManagerPorts } from './manager-ports.ts'
import { serveOutbound } from './outbound-tunnel.ts'
import { requireClient } from './require-session.ts'
import type { AgentSession, ClientSession } from './sessions.ts'
import { type TunnelCall, TunnelEnd } from './tunnel-end.ts'
import { relayTunnels, type TunnelRelay } from './tunnel-relay.ts'
import { TpxError } from '../base/error.ts'

const { method } = Manager

/** Tunnels and dial requests of Telepresence's clients. */
export function tunnelService(ports: ManagerPorts, handle: HandlerFactory): Handlers {
  const { dialer, relay, state } = ports
  return {
    tunnel: handle.bidi(method.tunnel, async (call) => {
      const end = new TunnelEnd(call)
      const info = await end.accept((sessionId) => requireClient(state, { sessionId }))
      const client = requireClient(state, { sessionId: info.sessionId })
      const abort = (): void => end.abort()
      client.ended.addEventListener('abort', abort, { once: true })
      call.once('close', () => client.ended.removeEventListener('abort', abort))
      // An answer to a dial request is joined with the agent's tunnel by the agent's side.
      if (!relay.answer(client, info.connectionId, end)) await serveOutbound(end, info, dialer)
    }),

    watchDial: handle.watch(method.watchDial, (session) => {
      const client = requireClient(state, session)
      return { ended: client.ended, ...dialRequests(relay, client) }
    }),
  }
}

/** A queue of dial requests in the shape of a watch. */
function dialRequests(relay: TunnelRelay, client: ClientSession) {
  const queue: DialRequest[] = []
  return {
    isQueue: true,
    snapshot: () => queue.shift(),
    subscribe: (listener: () => void) =>
      relay.watch(client, ({ connectionId, info }) => {
        const { dialTimeoutNs: dialTimeout, roundtripLatencyNs: roundtripLatency } = info
        queue.push(create(DialRequestSchema, { connId: encodeConnectionId(connectionId), dialTimeout, roundtripLatency }))
        listener()
        return true
      }),
  }
}

/** Manager.Tunnel of an agent: names the client by its public alias, and is joined with the client's answer. */
export async function serveAgentTunnel(
  call: TunnelCall,
  ports: ManagerPorts,
  requireOwn: (sessionId: string) => AgentSession,
): Promise<void> {
  const end = new TunnelEnd(call)
  let agent: AgentSession | undefined
  const info = await end.accept((sessionId) => (agent = requireOwn(sessionId)))
  const next = await end.receive()
  if (next?.kind !== 'session' || !agent) throw new TpxError('USAGE', 'An agent must name the client of a tunnel')
  const owner = ports.state.attachmentsFor(agent).find(({ client }) => client.alias === next.sessionId)?.client
  if (!owner) throw new TpxError('SESSION_LOST', 'Client session is not known, or has no attachment of this workload')
  const answer = await ports.relay.dial(owner, info, end.lost).catch(() => undefined)
  if (!answer) {
    await end.send({ kind: 'dialReject' })
    return end.end()
  }

  await relayTunnels(end, answer)
}
