import { connectFlags } from '../cli/flags.ts'
import { routingConfig, routingFlags } from '../cli/routing-flags.ts'
import { type Answer, TpxCommand } from '../cli/base-command.ts'
import { dockerEngine } from '../session/docker-engine.ts'
import { connectionName } from '../session/connection-name.ts'
import { kubeconfigPaths, readKubeContext } from '../session/kube-context.ts'

export default class Connect extends TpxCommand<typeof Connect> {
  static override summary = 'Connect to a cluster: containers that join the connection get its network, DNS and service names.'
  static override examples = ['<%= config.bin %> <%= command.id %>', '<%= config.bin %> <%= command.id %> --namespace shop --name shop']
  static override flags = { ...connectFlags, ...routingFlags }

  protected async answer(): Promise<Answer> {
    const { carrier, name, 'manager-namespace': managerNamespace } = this.flags
    const clientConfig = routingConfig(this.flags)
    const kubeconfig = kubeconfigPaths(this.flags.kubeconfig)
    const kube = readKubeContext({ context: this.flags.context, kubeconfig, namespace: this.flags.namespace })
    const settings = { ...kube, kubeconfig, managerNamespace, name: connectionName(name, kube) }
    const [{ connect }, engine] = await Promise.all([import('../session/connect.ts'), dockerEngine()])
    const connected = await connect({
      carrier,
      clientConfig,
      engine,
      network: {},
      onProgress: (text) => this.progress(text),
      root: this.config.root,
      settings,
    })
    connected.control.close()
    const { isNew, session } = connected
    const data = { ...connected.settings, isNew, session }
    const text = [
      `${isNew ? 'Connected' : 'Already connected'} to context "${kube.context}", namespace "${kube.namespace}" as "${settings.name}" (${session.managerName} ${session.managerVersion})`,
      `Subnets: ${[...session.serviceSubnets, ...session.podSubnets].join(', ')}`,
      `Join it: docker run --network container:tpx-${settings.name}-holder IMAGE`,
    ]
    return { data, text: `${text.join('\n')}\n` }
  }
}
