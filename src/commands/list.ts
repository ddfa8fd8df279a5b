import { Flags } from '@oclif/core'
import { type Answer, TpxCommand } from '../cli/base-command.ts'
import { useFlag } from '../cli/flags.ts'
import { formatTable } from '../cli/table.ts'
import { useConnection } from '../session/connection.ts'
import { dockerEngine } from '../session/docker-engine.ts'

export default class List extends TpxCommand<typeof List> {
  static override summary = 'List the workloads that can be attached to, and who holds them.'
  static override flags = { ...useFlag, namespace: Flags.string({ char: 'n', description: 'Namespace; default: the connected one.' }) }

  protected async answer(): Promise<Answer> {
    const { control } = await useConnection({ engine: dockerEngine, root: this.config.root, use: this.flags.use })
    const workloads = await control.call('list', { namespace: this.flags.namespace ?? null })
    control.close()
    const rows = workloads.map(({ agent, clients, kind, name, state }) => [
      name,
      kind,
      state,
      agent === 'none' ? '-' : agent,
      clients.join(', ') || '-',
    ])
    return {
      data: workloads,
      text: rows.length
        ? formatTable(['NAME', 'KIND', 'STATE', 'AGENT', 'HELD BY'], rows)
        : 'No workloads (Deployments, StatefulSets or ReplicaSets)\n',
    }
  }
}
