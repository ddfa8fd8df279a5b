import type { Answer } from '../../cli/base-command.ts'
import { HelmCommand } from '../../cli/helm-command.ts'
import { helmFlags, parseTimeout } from '../../cli/helm-flags.ts'

export default class HelmUninstall extends HelmCommand<typeof HelmUninstall> {
  static override summary = 'Remove the traffic-manager from the cluster, and the agents from the workloads.'
  static override examples = ['<%= config.bin %> <%= command.id %>']
  static override flags = helmFlags

  protected async answer(): Promise<Answer> {
    const { flags } = this
    const { helmTarget } = await import('../../session/helm-target.ts')
    const target = helmTarget({ ...flags, timeout: parseTimeout(flags.timeout) }, this.helmOptions())
    const { uninstallManager } = await import('../../session/helm-uninstall.ts')
    const data = await uninstallManager({
      ...target,
    })
    const { namespace, namespaceKept, removed, workloads } = data
    const lines = [
      removed.length
        ? `Removed the traffic-manager from namespace "${namespace}"`
        : `There was no traffic-manager in namespace "${namespace}"`,
      ...workloads.map(({ kind, name, namespace }) => `${kind} "${name}" in namespace "${namespace}" runs without agent again`),
      ...(namespaceKept ? [`Namespace "${namespace}" is kept: ${namespaceKept}`] : []),
    ]
    return { data, text: `${lines.join('\n')}\n` }
  }
}
