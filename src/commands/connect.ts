import { configOfFlags, connectFlags } from '../cli/flags.ts'
import { routingFlags } from '../cli/routing-flags.ts'
import { type Answer, TpxCommand } from '../cli/base-command.ts'
import { userNetwork } from '../container/holder-network.ts'
import { dockerEngine } from '../session/docker-engine.ts'
import { readConnectionChoice } from '../session/connection-settings.ts'

export default class Connect extends TpxCommand<typeof Connect> {
  static override summary = 'Connect to a cluster: containers that join the connection get its network, DNS and service names.'
  static override examples = ['<%= config.bin %> <%= command.id %>', '<%= config.bin %> <%= command.id %> --namespace shop --name shop']
  static override flags = { ...connectFlags, ...routingFlags }

  protected async answer(): Promise<Answer> {
    const network = this.flags.network === undefined ? undefined : userNetwork(this.flags.network)
    const { clientConfig, settings, warnings } = await readConnectionChoice(this.flags, configOfFlags(this.flags))
    this.warnAll(warnings)
    const [{ connect }, engine] = await Promise.all([import('../session/connect.ts'), dockerEngine()])
    const connected = await connect({
      clientConfig,
      engine,
      network: network === undefined ? {} : { network },
      onProgress: (text) => this.progress(text),
      root: this.config.root,
      settings,
    })
    connected.control.close()
    const { changed, isNew, session } = connected
    const data = { ...connected.settings, changed, isNew, session }
    const text = [
      `${isNew ? 'Connected' : 'Already connected'} to context "${settings.context}", namespace "${settings.namespace}" as "${settings.name}" (${session.managerName} ${session.managerVersion})`,
      `Subnets: ${[...session.serviceSubnets, ...session.podSubnets].join(', ')}`,
      `Join it: docker run --network container:tpx-${settings.name}-holder IMAGE`,
    ]
    return { data, text: `${text.join('\n')}\n` }
  }
}
