import { TpxError } from '../base/error.ts'
import type { AgentSession, ClientSession, PodIdentity } from './sessions.ts'
import type { State } from './state.ts'

/**
 * The client's session.
 * @throws TpxError SESSION_LOST; Telepresence's clients reconnect when the text begins with "Client session "
 */
export function requireClient(state: State, session: { sessionId: string } | undefined): ClientSession {
  const found = state.clients.get(session?.sessionId ?? '')
  if (found) return found
  throw new TpxError('SESSION_LOST', 'Client session is not known to the traffic-manager', {
    hint: 'The traffic-manager was restarted or heard nothing for too long; the client must arrive anew',
  })
}

/**
 * The agent's session, if it belongs to the Pod whose token came with the call.
 * @throws TpxError SESSION_LOST
 */
export function requireAgent(state: State, session: { sessionId: string } | undefined, identity: PodIdentity): AgentSession {
  const found = state.agents.get(session?.sessionId ?? '')
  if (found && found.identity.podUid === identity.podUid) return found
  throw new TpxError('SESSION_LOST', 'Agent session is not known to the traffic-manager')
}
