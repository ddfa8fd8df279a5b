import { create } from '@bufbuild/protobuf'
import { TpxError } from '../base/error.ts'
import {
  InterceptDispositionType as Disposition,
  type InterceptInfo,
  InterceptInfoSchema,
  InterceptSpecSchema,
} from '../wire/generated/manager_pb.ts'
import { OUTBOUND_MECHANISM, STREAM_KEY } from '../wire/versions.ts'
import type { Changes } from './changes.ts'
import { type AgentSession, type ClientSession, servesWorkload, type WorkloadName } from './sessions.ts'

type Grant = { client: ClientSession; key: string; workload: WorkloadName }

/**
 * Who may have connections dialed by the agents of which workload (`TPX/1 outbound KEY` of the agent's API). Agents hear of a grant
 * as of an attachment of the mechanism "outbound" without a port; it ends with the client's session.
 */
export class OutboundGrants {
  readonly #changes: Changes
  readonly #grants = new Map<string, Grant>()

  /** @param changes told when agents must hear of something */
  constructor(changes: Changes) {
    this.#changes = changes
  }

  /**
   * Lets a client use a workload's agents, until its session ends.
   * @param key the client's own choice, so that it stays good when a manager that began anew hears of it again
   * @throws TpxError USAGE when the key is not 32 hexadecimal digits
   */
  grant(client: ClientSession, workload: WorkloadName, key: string): void {
    if (!/^[0-9a-f]{32}$/.test(key)) throw new TpxError('USAGE', 'The bearer for outbound connections must be 32 hexadecimal digits')
    const id = `${client.id} ${workload.namespace} ${workload.kind} ${workload.name}`
    const isNew = !this.#grants.has(id)
    this.#grants.set(id, { client, key, workload })
    this.#changes.emit()
    if (!isNew) return
    client.ended.addEventListener(
      'abort',
      () => {
        this.#grants.delete(id)
        this.#changes.emit()
      },
      { once: true },
    )
  }

  /** What an agent is told; it knows the client by its alias. */
  forAgent(agent: AgentSession): InterceptInfo[] {
    const mine = [...this.#grants.values()].filter(({ workload }) => servesWorkload(agent, workload))
    return mine.map(({ client, key, workload }) =>
      create(InterceptInfoSchema, {
        disposition: Disposition.ACTIVE,
        id: `${client.alias}:${OUTBOUND_MECHANISM}`,
        metadata: { [STREAM_KEY]: key },
        spec: create(InterceptSpecSchema, {
          agent: workload.name,
          client: client.info.name,
          mechanism: OUTBOUND_MECHANISM,
          name: OUTBOUND_MECHANISM,
          namespace: workload.namespace,
          workloadKind: workload.kind,
        }),
      }),
    )
  }
}
