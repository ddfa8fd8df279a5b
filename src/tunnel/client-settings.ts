import type { Logger } from '../base/logger.ts'
import { type ClientConfig, mergeClientConfigs } from '../wire/client-config.ts'
import { parseManagerClientConfig } from '../wire/manager-client-config.ts'
import { Cell } from './cell.ts'

/** What the user set for this connection: the CLI's part at once, the traffic-manager's defaults beneath it once they are known. */
export class ClientSettings extends Cell<ClientConfig> {
  /** What the CLI found in flags, environment, kubeconfig and config.yml when the connection was made. */
  readonly client: ClientConfig
  #clusterInfo: ClientConfig = {}
  #text = ''
  #fromText: ClientConfig = {}

  constructor(client: ClientConfig) {
    super(client)
    this.client = client
  }

  /** The traffic-manager's part. */
  get manager(): ClientConfig {
    return mergeClientConfigs([this.#fromText, this.#clusterInfo])
  }

  /** Takes what GetClientConfig answered. */
  setManagerText(text: string, logger: Logger): void {
    if (text === this.#text) return
    this.#text = text
    const { config, ignored, problems } = parseManagerClientConfig(text)
    for (const problem of problems) logger.warn(`the traffic-manager's client configuration: ${problem}`)
    if (ignored.length > 0) logger.debug({ ignored }, "keys of the traffic-manager's client configuration that mean nothing here")
    this.#fromText = config
    this.#publish()
  }

  /** Takes what the manager's ClusterInfo says of a client's settings; GetClientConfig wins. */
  setClusterInfo(config: ClientConfig): void {
    this.#clusterInfo = config
    this.#publish()
  }

  /** Listeners are called only if something changed. */
  #publish(): void {
    const effective = mergeClientConfigs([this.client, this.manager])
    if (JSON.stringify(effective) !== JSON.stringify(this.value)) this.set(effective)
  }
}
