import { Flags } from '@oclif/core'
import type { Answer } from '../../cli/base-command.ts'
import { HelmCommand } from '../../cli/helm-command.ts'
import { helmFlags, parseTimeout, valueFlags } from '../../cli/helm-flags.ts'

export default class HelmInstall extends HelmCommand<typeof HelmInstall> {
  static override summary = 'Install the traffic-manager in the cluster (no Helm needed; charts/tpx is the chart).'
  static override description =
    'What a failed install made is removed again. The values are kept in the ConfigMap "tpx-values" of the manager\'s namespace, for later upgrades; do not put secrets into them.'
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --set image.registry=registry.example.com -f values.yaml',
  ]
  static override flags = {
    ...helmFlags,
    ...valueFlags,
    'create-namespace': Flags.boolean({ allowNo: true, default: true, description: "Make the manager's namespace if it is not there." }),
    'keep-failed': Flags.boolean({ description: 'Keep what a failed install made, to look at it.' }),
  }

  protected async answer(): Promise<Answer> {
    const { flags } = this
    const { helmTarget } = await import('../../session/helm-target.ts')
    const target = helmTarget({ ...flags, timeout: parseTimeout(flags.timeout) }, this.helmOptions())
    const { installManager } = await import('../../session/helm-install.ts')
    const data = await installManager({
      ...target,
      createNamespace: flags['create-namespace'],
      keepFailed: flags['keep-failed'],
      values: { files: flags.values ?? [], set: flags.set ?? [], setString: flags['set-string'] ?? [] },
      wait: flags.wait,
    })
    return { data, text: `Installed the traffic-manager ${data.version} (${data.image}) in namespace "${data.namespace}"\n` }
  }
}
