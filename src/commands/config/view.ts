import { Flags } from '@oclif/core'
import { type Answer, TpxCommand } from '../../cli/base-command.ts'
import { clusterFlags, configOfFlags, useFlag } from '../../cli/flags.ts'
import { formatTable } from '../../cli/table.ts'
import { dockerEngine } from '../../session/docker-engine.ts'
import { kubeconfigPaths } from '../../session/kube-context.ts'

export default class ConfigView extends TpxCommand<typeof ConfigView> {
  static override summary = 'Show the configuration in force and where each value comes from.'
  static override description =
    'With --output yaml or json, the answer has the form of a config.yml. Where nothing is connected, the traffic-manager is left out. The keys are explained in docs/configuration.md.'
  static override examples = ['<%= config.bin %> <%= command.id %>', '<%= config.bin %> <%= command.id %> --client-only --output yaml']
  static override flags = {
    ...useFlag,
    ...clusterFlags,
    'client-only': Flags.boolean({ description: "What this host's sources say, without the traffic-manager.", exclusive: ['use'] }),
  }

  protected async answer(): Promise<Answer> {
    const { flags } = this
    const [{ readClientConfig }, { readConnectionConfig, viewConfig }] = await Promise.all([
      import('../../session/client-config.ts'),
      import('../../session/config-view.ts'),
    ])
    const sources = readClientConfig({
      context: flags.context,
      flags: configOfFlags(flags),
      kubeconfig: kubeconfigPaths(flags.kubeconfig),
    })
    this.warnAll(sources.warnings)
    const connection = flags['client-only']
      ? undefined
      : await readConnectionConfig({ engine: dockerEngine, root: this.config.root, use: flags.use })
    if (!connection && !flags['client-only']) this.warnAll(['Nothing is connected: this is what the next connection begins with'])
    const { changed, config, rows } = viewConfig(sources, connection)
    if (changed.length > 0)
      this.warnAll([
        `Connection "${connection?.name}" keeps what it was made with; "tpx quit" and a new connect change ${changed.join(', ')}`,
      ])
    const table = rows.map(({ key, source, value }) => [key, typeof value === 'string' ? value : JSON.stringify(value), source])
    return { data: config, text: formatTable(['KEY', 'VALUE', 'SOURCE'], table) }
  }
}
