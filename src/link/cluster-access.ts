import type { Duplex } from 'node:stream'
import { statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { HostKubeConfig } from '../kube/client-config.ts'
import { TpxError } from '../base/error.ts'
import { apiError, httpStatusOf } from '../kube/api-error.ts'
import { apiGet } from '../kube/api-request.ts'
import { contextNamespace, kubeconfigFiles, type KubeconfigOptions, loadKubeconfig } from '../kube/kubeconfig.ts'
import { serverOf } from '../kube/server-address.ts'
import { openPortForward, portForwardTransport, type PortForwardTransport } from '../kube/port-forward/open-port-forward.ts'
import { resolveService } from '../kube/pod-lookup.ts'

/** What the link knows of the cluster once it is ready. */
export type ClusterFacts = { context: string; namespace: string; server: string }

type Target = { kind: 'pod' | 'svc'; name: string; namespace: string; port: number }
type PodPort = { namespace: string; pod: string; port: number }

/** How long a Service's Pod is believed in; a failure forgets it at once. */
const CACHE_MS = 5000
/** What takes longer than the request may take is the plugin: its user may have to sign in. */
const PROBE_MS = 3000
const NEVER = new AbortController().signal
/** Pause after credentials were refused: the tunnel asks every other second, and each time a plugin might open a browser. */
const REFUSAL_PAUSE = { firstMs: 1000, mostMs: 15_000 }

/** Credentials that were refused, and until when they are not tried again unless the kubeconfig changes. */
type Refusal = { error: unknown; files: string; tries: number; until: number }

/** The link's Kubernetes side: it alone holds the credentials. */
export class ClusterAccess {
  readonly #onNotice: (text: string) => void
  readonly #options: KubeconfigOptions
  readonly #services = new Map<string, { found: Promise<PodPort>; until: number }>()
  #kubeConfig: HostKubeConfig
  #refusal: Refusal | undefined
  #reloading: Promise<void> | undefined

  private constructor(options: KubeconfigOptions, kubeConfig: HostKubeConfig, onNotice: (text: string) => void) {
    this.#options = options
    this.#onNotice = onNotice
    this.#kubeConfig = kubeConfig
    this.#listen()
  }

  /**
   * @param onNotice gets what a credential plugin writes on stderr
   * @throws TpxError KUBECONFIG_INVALID, CONTEXT_NOT_FOUND
   */
  static async load(options: KubeconfigOptions, onNotice: (text: string) => void = () => {}): Promise<ClusterAccess> {
    return new ClusterAccess(options, await loadKubeconfig(options), onNotice)
  }

  get kubeConfig(): HostKubeConfig {
    return this.#kubeConfig
  }

  /** The user may have done something about refused credentials: they are tried anew, without a pause. */
  retryCredentials(): void {
    if (this.#refusal) this.#refusal = { error: undefined, files: '', tries: 0, until: 0 }
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
    const options = { attempt: { resource: '/version', verb: 'get' }, timeoutMs: PROBE_MS }
    const limit = new AbortController()
    const waiting = sleep(PROBE_MS + 500, undefined, { ref: false, signal: limit.signal }).then(() => {
      throw new TpxError('KUBERNETES_UNREACHABLE', 'Waiting for the credential plugin', { hint: 'It may want you to sign in' })
    })
    waiting.catch(() => {})
    try {
      await Promise.race([this.#withCredentials(NEVER, () => apiGet(this.#kubeConfig, '/version', options)), waiting])
    } catch (error) {
      throw apiError(error, this.#kubeConfig, options.attempt)
    } finally {
      limit.abort()
    }
  }

  /**
   * When the credentials are no longer accepted, the kubeconfig is read anew: the user may have signed in again since. What
   * is still refused then is left alone for a while, and so the user's sign-in is noticed without typing anything.
   */
  async #withCredentials<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.#afterRefusal()
    const used = this.#kubeConfig
    try {
      return this.#accepted(await work())
    } catch (error) {
      if (signal.aborted || !isRefused(error)) throw error
      // A plugin's failure is not asked for twice in a row, and after a refusal all was read anew already.
      if (this.#refusal || !isUnauthorized(error)) throw this.#refuse(error)
      await this.#reload(used)
    }

    try {
      return this.#accepted(await work())
    } catch (error) {
      throw !signal.aborted && isRefused(error) ? this.#refuse(error) : error
    }
  }

  async #afterRefusal(): Promise<void> {
    const refusal = this.#refusal
    if (!refusal) return
    if (performance.now() < refusal.until && this.#stampOfFiles() === refusal.files) throw refusal.error
    await this.#reload(this.#kubeConfig)
  }

  #accepted<T>(result: T): T {
    this.#refusal = undefined
    return result
  }

  #refuse(error: unknown): unknown {
    const tries = (this.#refusal?.tries ?? 0) + 1
    const pauseMs = Math.min(REFUSAL_PAUSE.firstMs * 2 ** (tries - 1), REFUSAL_PAUSE.mostMs)
    this.#refusal = { error, files: this.#stampOfFiles(), tries, until: performance.now() + pauseMs }
    return error
  }

  /** Many may ask at once; the first one reads. @param stale what was in use when the credentials were refused */
  async #reload(stale: HostKubeConfig): Promise<void> {
    if (this.#kubeConfig !== stale) return
    this.#reloading ??= loadKubeconfig(this.#options)
      .then((kubeConfig) => {
        this.#kubeConfig = kubeConfig
        this.#listen()
      })
      .finally(() => (this.#reloading = undefined))
    await this.#reloading.catch((error: unknown) => {
      throw this.#refuse(error)
    })
  }

  #listen(): void {
    if (this.#kubeConfig.credentials) this.#kubeConfig.credentials.onNotice = this.#onNotice
  }

  /** Changes when a file of the kubeconfig does, or one that it names for the credentials. */
  #stampOfFiles(): string {
    const user = this.#kubeConfig.getCurrentUser()
    const named = [user?.certFile, user?.keyFile].filter((file) => file !== undefined)
    return [...kubeconfigFiles(this.#options), ...(this.#kubeConfig.credentials?.files ?? []), ...named]
      .map((file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0)
      .join()
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

/** Nothing will work until the user has done something about the credentials. */
function isRefused(error: unknown): boolean {
  return isUnauthorized(error) || (error instanceof TpxError && error.code === 'CREDENTIAL_PLUGIN_FAILED')
}
