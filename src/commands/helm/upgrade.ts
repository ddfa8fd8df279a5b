import { Flags } from '@oclif/core'
import type { Answer } from '../../cli/base-command.ts'
import { HelmCommand } from '../../cli/helm-command.ts'
import { helmFlags, parseTimeout, valueFlags } from '../../cli/helm-flags.ts'

export default class HelmUpgrade extends HelmCommand<typeof HelmUpgrade> {
  static override summary = 'Bring the traffic-manager in the cluster to this version of tpx, or to other values.'
  static override description = 'The values of the last install or upgrade that worked stay in force, except those that are given anew.'
  static override examples = [
    '<%= config.bin %> <%= command.id %> --set logLevel=debug',
    '<%= config.bin %> <%= command.id %> --reset-values -f values.yaml',
  ]
  static override flags = {
    ...helmFlags,
    ...valueFlags,
    'reset-values': Flags.boolean({ description: 'Forget the values of before.', exclusive: ['reuse-values'] }),
    'reuse-values': Flags.boolean({ description: 'Keep the values of before; the default.' }),
  }

  protected async answer(): Promise<Answer> {
    const { flags } = this
    const { helmTarget } = await import('../../session/helm-target.ts')
    const target = helmTarget({ ...flags, timeout: parseTimeout(flags.timeout) }, this.helmOptions())
    const { upgradeManager } = await import('../../session/helm-install.ts')
    const data = await upgradeManager({
      ...target,
      resetValues: flags['reset-values'],
      values: { files: flags.values ?? [], set: flags.set ?? [], setString: flags['set-string'] ?? [] },
      wait: flags.wait,
    })
    const removed = data.removed.length ? `; removed ${data.removed.join(', ')}` : ''
    return { data, text: `Upgraded the traffic-manager in namespace "${data.namespace}" to ${data.version} (${data.image})${removed}\n` }
  }
}
