import type { Duplex } from 'node:stream'
import type { KubeConfig } from '@kubernetes/client-node'
import { TpxError } from '../base/error.ts'
import { apiGet } from '../kube/api-request.ts'
import { contextNamespace, type KubeconfigOptions, loadKubeconfig, serverOf } from '../kube/kubeconfig.ts'
import { openPortForward, portForwardTransport, type PortForwardTransport } from '../kube/port-forward/open-port-forward.ts'
import { resolveService } from '../kube/pod-lookup.ts'
import type { Leg } from '../wire/control.ts'

/** What the link knows of the cluster once it is ready. */
export type ClusterFacts = { context: string; namespace: string; server: string }

type Target = { kind: 'pod' | 'svc'; name: string; namespace: string; port: number }
type PodPort = { namespace: string; pod: string; port: number }

/** How long a Service's Pod is believed in; a failure forgets it at once. */
const CACHE_MS = 5000

/** The link's Kubernetes side: it alone holds the credentials. */
export class ClusterAccess {
  readonly #options: KubeconfigOptions
  readonly #services = new Map<string, { found: Promise<PodPort>; until: number }>()
  #kubeConfig: KubeConfig

  private constructor(options: KubeconfigOptions, kubeConfig: KubeConfig) {
    this.#options = options
    this.#kubeConfig = kubeConfig
  }

  /** @throws TpxError KUBECONFIG_INVALID, CONTEXT_NOT_FOUND */
  static async load(options: KubeconfigOptions): Promise<ClusterAccess> {
    return new ClusterAccess(options, await loadKubeconfig(options))
  }

  get kubeConfig(): KubeConfig {
    return this.#kubeConfig
  }

  get transport(): PortForwardTransport | null {
    return portForwardTransport(this.#kubeConfig)
  }

  /** @param namespace what the user asked for; undefined for the context's */
  facts(namespace: string | undefined): ClusterFacts {
    return {
      context: this.#kubeConfig.getCurrentContext(),
      namespace: namespace ?? contextNamespace(this.#kubeConfig),
      server: serverOf(this.#kubeConfig),
    }
  }

  /**
   * Opens a byte stream to a Pod, or to a ready Pod of a Service. A Pod that went away is looked up anew, once; so are
   * credentials that are no longer accepted (the user may have signed in again).
   * @throws TpxError
   */
  async open(target: Target, signal: AbortSignal): Promise<Duplex> {
    try {
      return await this.#openOnce(target, signal)
    } catch (error) {
      const isStale = error instanceof TpxError && error.code === 'KUBERNETES_UNAUTHORIZED'
      const isGone = target.kind === 'svc' && this.#services.delete(keyOf(target))
      if (signal.aborted || (!isStale && !isGone)) throw error
      if (isStale) this.#kubeConfig = await loadKubeconfig(this.#options)
      return this.#openOnce(target, signal)
    }
  }

  /** Asks the API server for its version: is it there, and does it take our credentials. */
  async check(): Promise<Leg> {
    try {
      await apiGet(this.#kubeConfig, '/version', { attempt: { resource: '/version', verb: 'get' }, timeoutMs: 3000 })
      return { state: 'up' }
    } catch (error) {
      return { state: 'down', detail: error instanceof Error ? error.message : String(error) }
    }
  }

  async #openOnce(target: Target, signal: AbortSignal): Promise<Duplex> {
    const podPort =
      target.kind === 'pod' ? { namespace: target.namespace, pod: target.name, port: target.port } : await this.#resolve(target)
    return openPortForward(this.#kubeConfig, podPort, { signal })
  }

  #resolve(target: Target): Promise<PodPort> {
    const key = keyOf(target)
    const known = this.#services.get(key)
    if (known && known.until > performance.now()) return known.found
    const found = resolveService(this.#kubeConfig, target)
    this.#services.set(key, { found, until: performance.now() + CACHE_MS })
    // Nobody may wait for it any more; openOnce's caller sees the failure.
    found.catch(() => this.#services.delete(key))
    return found
  }
}

function keyOf({ name, namespace, port }: Target): string {
  return `${name}.${namespace}:${port}`
}
