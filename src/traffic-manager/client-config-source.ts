import type { Logger } from '../base/logger.ts'
import type { ClientConfig } from '../wire/client-config.ts'
import { parseManagerClientConfig } from '../wire/manager-client-config.ts'
import { Changes } from './changes.ts'
import type { Kubernetes } from './kubernetes-api.ts'
import { type KubernetesObject, ObjectStore } from './object-store.ts'

/** The ConfigMap that the chart makes of its value `client`; name and key are Telepresence's. */
const CONFIG_MAP = 'traffic-manager'
const KEY = 'client.yaml'
/** Longest wait for the first list: a client that gets nothing soon gives up. */
const SYNC_TIMEOUT_MS = 3_000

type ConfigMap = KubernetesObject & { data?: Record<string, string> }

/**
 * What clients of this manager are given as defaults. The ConfigMap is watched through the API, so that a `helm upgrade` reaches
 * connected clients without a restart and without the minute that a mounted ConfigMap takes.
 */
export class ClientConfigSource {
  readonly changes = new Changes()
  readonly ready: Promise<void>
  readonly #logger: Logger
  readonly #store: ObjectStore<ConfigMap, string>
  #parsed: { config: ClientConfig; text: string } = { config: {}, text: '' }

  constructor(kubernetes: Kubernetes, namespace: string, logger: Logger) {
    this.#logger = logger
    this.#store = new ObjectStore<ConfigMap, string>({
      fieldSelector: `metadata.name=${CONFIG_MAP}`,
      kubernetes,
      logger,
      onChange: () => this.#read(),
      path: `/api/v1/namespaces/${namespace}/configmaps`,
      project: ({ data }) => data?.[KEY],
    })
    const limit = new Promise<void>((resolve) => void setTimeout(resolve, SYNC_TIMEOUT_MS).unref())
    this.ready = Promise.race([this.#store.settled, limit])
  }

  /** The YAML as it stands in the ConfigMap: Telepresence's clients understand keys that tpx does not. */
  get text(): string {
    return this.#parsed.text
  }

  /** What tpx understands of it. */
  get config(): ClientConfig {
    return this.#parsed.config
  }

  close(): void {
    this.#store.close()
  }

  #read(): void {
    const [text = ''] = this.#store.values()
    if (text === this.#parsed.text) return
    const { config, problems } = parseManagerClientConfig(text)
    for (const problem of problems) this.#logger.warn(`ConfigMap "${CONFIG_MAP}", ${KEY}: ${problem}`)
    this.#parsed = { config, text }
    this.#logger.info({ config }, 'Client configuration')
    this.changes.emit()
  }
}
