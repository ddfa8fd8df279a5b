import { connectFlags } from '../cli/flags.ts'
import { routingConfig, routingFlags } from '../cli/routing-flags.ts'
import { type Answer, TpxCommand } from '../cli/base-command.ts'
import { userNetwork } from '../container/holder-network.ts'
import { dockerEngine } from '../session/docker-engine.ts'
import { connectionSettings } from '../session/connection-settings.ts'

export default class Connect extends TpxCommand<typeof Connect> {
  static override summary = 'Connect to a cluster: containers that join the connection get its network, DNS and service names.'
  static override examples = ['<%= config.bin %> <%= command.id %>', '<%= config.bin %> <%= command.id %> --namespace shop --name shop']
  static override flags = { ...connectFlags, ...routingFlags }

  protected async answer(): Promise<Answer> {
    const { carrier } = this.flags
    const network = this.flags.network === undefined ? undefined : userNetwork(this.flags.network)
    const clientConfig = routingConfig(this.flags)
    const settings = connectionSettings(this.flags)
    const [{ connect }, engine] = await Promise.all([import('../session/connect.ts'), dockerEngine()])
    const connected = await connect({
      carrier,
      clientConfig,
      engine,
      network: network === undefined ? {} : { network },
      onProgress: (text) => this.progress(text),
      root: this.config.root,
      settings,
    })
    connected.control.close()
    const { isNew, session } = connected
    const data = { ...connected.settings, isNew, session }
    const text = [
      `${isNew ? 'Connected' : 'Already connected'} to context "${settings.context}", namespace "${settings.namespace}" as "${settings.name}" (${session.managerName} ${session.managerVersion})`,
      `Subnets: ${[...session.serviceSubnets, ...session.podSubnets].join(', ')}`,
      `Join it: docker run --network container:tpx-${settings.name}-holder IMAGE`,
    ]
    return { data, text: `${text.join('\n')}\n` }
  }
}
