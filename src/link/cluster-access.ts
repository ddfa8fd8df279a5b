import type { Duplex } from 'node:stream'
import type { KubeConfig } from '@kubernetes/client-node'
import { TpxError } from '../base/error.ts'
import { apiError, httpStatusOf } from '../kube/api-error.ts'
import { apiGet } from '../kube/api-request.ts'
import { contextNamespace, type KubeconfigOptions, loadKubeconfig, serverOf } from '../kube/kubeconfig.ts'
import { openPortForward, portForwardTransport, type PortForwardTransport } from '../kube/port-forward/open-port-forward.ts'
import { resolveService } from '../kube/pod-lookup.ts'

/** What the link knows of the cluster once it is ready. */
export type ClusterFacts = { context: string; namespace: string; server: string }

type Target = { kind: 'pod' | 'svc'; name: string; namespace: string; port: number }
type PodPort = { namespace: string; pod: string; port: number }

/** How long a Service's Pod is believed in; a failure forgets it at once. */
const CACHE_MS = 5000
const PROBE_MS = 3000

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
   * Opens a byte stream to a Pod, or to a ready Pod of a Service; a Pod that went away is looked up anew, once.
   * @throws TpxError
   */
  open(target: Target, signal: AbortSignal): Promise<Duplex> {
    return this.#withCredentials(signal, async () => {
      try {
        return await this.#openOnce(target, signal)
      } catch (error) {
        const wasKnown = target.kind === 'svc' && this.#services.delete(keyOf(target))
        if (signal.aborted || !wasKnown || isUnauthorized(error)) throw error
        return this.#openOnce(target, signal)
      }
    })
  }

  /** Asks the API server for its version: is it there, and does it take our credentials. @throws TpxError KUBERNETES_* */
  async probe(): Promise<void> {
    const signal = AbortSignal.timeout(PROBE_MS)
    const options = { attempt: { resource: '/version', verb: 'get' }, signal, timeoutMs: PROBE_MS }
    try {
      await this.#withCredentials(signal, () => apiGet(this.#kubeConfig, '/version', options))
    } catch (error) {
      throw apiError(error, this.#kubeConfig, options.attempt)
    }
  }

  /** Reads the kubeconfig anew when its credentials are no longer accepted: the user may have signed in again since. */
  async #withCredentials<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (signal.aborted || !isUnauthorized(error)) throw error
      this.#kubeConfig = await loadKubeconfig(this.#options)
      return work()
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

function isUnauthorized(error: unknown): boolean {
  return httpStatusOf(error) === 401 || (error instanceof TpxError && error.code === 'KUBERNETES_UNAUTHORIZED')
}
