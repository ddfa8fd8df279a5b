import { randomBytes, randomUUID } from 'node:crypto'
import { TpxError } from '../base/error.ts'
import {
  type AgentInfo,
  type ClientInfo,
  InterceptDispositionType as Disposition,
  type InterceptSpec,
  type ReviewInterceptRequest,
} from '../wire/generated/manager_pb.ts'
import { type Attachment, servingReview, workloadOf } from './attachment.ts'
import { checkConflict, isAbandoned, samePort } from './attachment-conflict.ts'
import { Changes } from './changes.ts'
import { OutboundGrants } from './outbound-grants.ts'
import { type Clock, SessionRegistry } from './session-registry.ts'
import { type AgentSession, type ClientSession, type PodIdentity, servesWorkload, type WorkloadName } from './sessions.ts'

/** A client that is silent for longer is gone; Telepresence's clients (2.24 and later) call Remain once a minute. */
export const CLIENT_TTL_MS = 90_000
/** An agent that is silent for longer is gone. */
export const AGENT_TTL_MS = 30_000

/** Agents are told of an attachment that ended for this long, so that they need not infer it from absence. */
const REMOVED_MS = 60_000

/** Everything that the manager knows, in memory: who is connected and what is attached. */
export class State {
  readonly agents: SessionRegistry<AgentSession>
  /** Tells that agents or attachments changed. */
  readonly changes = new Changes()
  readonly clients: SessionRegistry<ClientSession>
  readonly outbound = new OutboundGrants(this.changes)
  readonly #attachments = new Set<Attachment>()
  readonly #clock: Clock
  #removed: Attachment[] = []

  constructor(clock: Clock = Date.now) {
    this.#clock = clock
    this.clients = new SessionRegistry<ClientSession>({ clock, onChange: (client) => this.#onClient(client), ttlMs: CLIENT_TTL_MS })
    this.agents = new SessionRegistry<AgentSession>({
      clock,
      onChange: (agent, change) => this.#onAgent(agent, change),
      ttlMs: AGENT_TTL_MS,
    })
  }

  arriveAsClient(info: ClientInfo): ClientSession {
    return this.clients.add(randomUUID(), (base) => ({ ...base, alias: randomUUID(), info }))
  }

  /** A Pod that arrives anew (its agent restarted) takes the place of its earlier session. */
  arriveAsAgent(info: AgentInfo, identity: PodIdentity): AgentSession {
    const session = this.agents.add(randomUUID(), (base) => ({ ...base, identity, info }))
    for (const earlier of this.agents.values()) {
      if (earlier !== session && earlier.identity.podUid === identity.podUid) this.agents.remove(earlier.id)
    }
    return session
  }

  agentsOf(workload: WorkloadName): AgentSession[] {
    return this.agents.values().filter((agent) => servesWorkload(agent, workload))
  }

  /** All attachments, in the order of their creation. */
  attachments(): Attachment[] {
    return Array.from(this.#attachments)
  }

  attachmentsOf(client: ClientSession): Attachment[] {
    return this.attachments().filter((attachment) => attachment.client === client)
  }

  /** The attachments that an agent's workload has. */
  attachmentsFor(agent: AgentSession): Attachment[] {
    return this.attachments().filter((attachment) => servesWorkload(agent, workloadOf(attachment)))
  }

  /** The attachments of an agent's workload that ended a short while ago; their disposition is REMOVED. */
  removedFor(agent: AgentSession): Attachment[] {
    return this.#removed.filter((attachment) => servesWorkload(agent, workloadOf(attachment)))
  }

  /** An attachment by its owner and its name or id. */
  find(client: ClientSession, name: string): Attachment | undefined {
    return this.attachmentsOf(client).find(({ spec }) => spec.name === name || `${client.id}:${spec.name}` === name)
  }

  /**
   * Takes a port for a client; also from one who seems to be gone.
   * @param wishedKey stream key of the same attachment in a session that this manager has not known; taken if it is unused
   * @throws TpxError ATTACHMENT_EXISTS, PORT_CONFLICT
   */
  attach(client: ClientSession, spec: InterceptSpec, wishedKey = ''): Attachment {
    this.checkConflict(client, spec)
    const now = this.#clock()
    for (const other of this.attachments()) if (samePort(other.spec, spec)) this.detach(other)
    const attachment: Attachment = {
      client,
      createdMs: now,
      disposition: Disposition.WAITING,
      message: 'Waiting for the traffic-agent',
      modifiedMs: now,
      reviews: new Map(),
      spec,
      streamKey: this.#isFreeKey(wishedKey) ? wishedKey : randomBytes(16).toString('hex'),
    }
    this.#attachments.add(attachment)
    const agents = this.agentsOf(workloadOf(attachment))
    if (agents.length > 0 && !agents.some(({ info }) => info.mechanisms.some(({ name }) => name === spec.mechanism))) {
      this.#set(attachment, Disposition.NO_MECHANISM, `No agent of "${spec.agent}" knows mechanism "${spec.mechanism}"`)
    }
    this.changes.emit()
    return attachment
  }

  /** @throws TpxError ATTACHMENT_EXISTS, PORT_CONFLICT unless the holder of the port seems to be gone */
  checkConflict(client: ClientSession, spec: InterceptSpec): void {
    const present = this.attachments().filter((other) => !isAbandoned(other.client, client, this.#clock()))
    checkConflict(present, client, spec)
  }

  /** Gives a port back; false when it was given back already. */
  detach(attachment: Attachment): boolean {
    if (!this.#attachments.delete(attachment)) return false
    this.#set(attachment, Disposition.REMOVED, '')
    this.#removed.push(attachment)
    return true
  }

  /**
   * Notes an agent's verdict. The first verdict decides; those of other Pods of the workload are kept for the case that
   * the serving Pod goes away.
   * @throws TpxError ATTACHMENT_NOT_FOUND when the id is not one that this agent was shown
   */
  review(agent: AgentSession, request: ReviewInterceptRequest): void {
    const attachment = this.attachmentsFor(agent).find(({ client, spec }) => `${client.alias}:${spec.name}` === request.id)
    if (!attachment) throw new TpxError('ATTACHMENT_NOT_FOUND', 'The attachment to review does not exist')
    if (request.disposition !== Disposition.ACTIVE && request.disposition !== Disposition.AGENT_ERROR) return
    attachment.reviews.set(agent.id, { agent, request })
    const undecided = attachment.disposition === Disposition.WAITING || attachment.disposition === Disposition.NO_AGENT
    if (!undecided) return
    this.#set(attachment, request.disposition, request.message)
  }

  /** Ends what was silent for too long. */
  expire(): { agents: AgentSession[]; clients: ClientSession[] } {
    const limit = this.#clock() - REMOVED_MS
    this.#removed = this.#removed.filter(({ modifiedMs }) => modifiedMs > limit)
    return { agents: this.agents.expire(), clients: this.clients.expire() }
  }

  #isFreeKey(key: string): boolean {
    const used = [...this.#attachments, ...this.#removed]
    return /^[0-9a-f]{32}$/.test(key) && !used.some(({ streamKey }) => streamKey === key)
  }

  #set(attachment: Attachment, disposition: Attachment['disposition'], message: string): void {
    Object.assign(attachment, { disposition, message, modifiedMs: this.#clock() })
    this.changes.emit()
  }

  #onClient(client: ClientSession): void {
    if (!this.clients.get(client.id)) for (const attachment of this.attachmentsOf(client)) this.detach(attachment)
    this.changes.emit()
  }

  #onAgent(agent: AgentSession, change: 'added' | 'removed'): void {
    for (const attachment of this.attachmentsFor(agent)) {
      if (change === 'added' && attachment.disposition === Disposition.NO_AGENT) {
        this.#set(attachment, Disposition.WAITING, 'Waiting for the traffic-agent')
      }
      if (change === 'removed') this.#lose(attachment, agent)
    }
    this.changes.emit()
  }

  /** Another Pod that accepted takes over without a gap; else the agents that remain are asked; else it waits for one. */
  #lose(attachment: Attachment, agent: AgentSession): void {
    attachment.reviews.delete(agent.id)
    if (this.agentsOf(workloadOf(attachment)).length === 0) {
      this.#set(attachment, Disposition.NO_AGENT, `No agent found for "${attachment.spec.agent}"`)
    } else if (attachment.reviews.size === 0) {
      this.#set(attachment, Disposition.WAITING, 'Waiting for the traffic-agent')
    } else if (servingReview(attachment)) {
      this.#set(attachment, Disposition.ACTIVE, '')
    }
  }
}
