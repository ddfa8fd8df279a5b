import { type Answer, TpxCommand } from '../../cli/base-command.ts'
import { helmFlags, kubeconfigOptions, parseDuration } from '../../cli/helm-flags.ts'
import { abortOnSignal } from '../../cli/interrupt.ts'

export default class HelmUninstall extends TpxCommand<typeof HelmUninstall> {
  static override summary = 'Remove the traffic-manager from the cluster, and the agents from the workloads.'
  static override examples = ['<%= config.bin %> <%= command.id %>']
  static override flags = helmFlags

  protected async answer(): Promise<Answer> {
    const { flags } = this
    const timeoutMs = parseDuration(flags.timeout)
    const { uninstallManager } = await import('../../session/helm-uninstall.ts')
    const data = await uninstallManager({
      ...kubeconfigOptions(flags),
      namespace: flags['manager-namespace'],
      onProgress: (text) => this.progress(text),
      root: this.config.root,
      signal: abortOnSignal(),
      timeoutMs,
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
