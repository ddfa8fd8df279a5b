import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../base/logger.ts'
import { messageOf } from '../base/error.ts'
import { keepTrying } from '../base/retry.ts'
import type { Kubernetes, WatchEvent } from './kubernetes-api.ts'

/** The part of every Kubernetes object that the store itself reads. */
export type KubernetesObject = { metadata: { name: string; namespace?: string; resourceVersion?: string } }

type List<T> = { items: T[]; metadata: { continue?: string; resourceVersion: string } }

const BACKOFF = { firstMs: 500, mostMs: 10_000 }
const PAGE = 500
/** The server ends a watch after this long; a connection that died silently is noticed half a minute later. */
const WATCH_SECONDS = 300
const SHORT_WATCH_MS = 1_000

/**
 * A live view of one list of the Kubernetes API: only what `project` keeps of each object is held in memory.
 * Errors are logged and tried again for ever, with back-off.
 */
export class ObjectStore<T extends KubernetesObject, V> {
  /** Resolves after the first complete list, or the first failure (see `error`). */
  readonly settled: Promise<void>
  /** Why the list cannot be had; undefined while it can. */
  error: unknown
  readonly #controller = new AbortController()
  readonly #kubernetes: Kubernetes
  readonly #onChange: () => void
  readonly #path: string
  readonly #selector: string
  readonly #project: (object: T) => V | undefined
  #settle!: () => void
  #values = new Map<string, V>()

  /** @param options `fieldSelector`: narrows the list, as in `metadata.name=one` */
  constructor(options: {
    fieldSelector?: string
    kubernetes: Kubernetes
    logger: Logger
    onChange: () => void
    path: string
    project: (object: T) => V | undefined
  }) {
    this.#kubernetes = options.kubernetes
    this.#onChange = options.onChange
    this.#path = options.path
    this.#selector = options.fieldSelector === undefined ? '' : `&fieldSelector=${encodeURIComponent(options.fieldSelector)}`
    this.#project = options.project
    this.settled = new Promise((resolve) => (this.#settle = resolve))
    const onError = (error: unknown): void => {
      this.error = error
      this.#settle()
      options.logger.warn({ error: messageOf(error), path: options.path }, 'Kubernetes watch failed')
    }

    void keepTrying(() => this.#follow(), { backoff: BACKOFF, onError, signal: this.#controller.signal })
  }

  values(): V[] {
    return Array.from(this.#values.values())
  }

  close(): void {
    this.#controller.abort()
  }

  /** Lists, then watches until something fails; a watch that the server ended goes on where it was. */
  async #follow(): Promise<boolean> {
    let version = await this.#list()
    this.error = undefined
    this.#settle()
    this.#onChange()
    const { signal } = this.#controller
    while (!signal.aborted) {
      const query = `watch=true&allowWatchBookmarks=true&timeoutSeconds=${WATCH_SECONDS}&resourceVersion=${encodeURIComponent(version)}${this.#selector}`
      const began = performance.now()
      const limit = AbortSignal.any([signal, AbortSignal.timeout((WATCH_SECONDS + 30) * 1000)])
      await this.#kubernetes.watch(`${this.#path}?${query}`, (event) => (version = this.#apply(event) ?? version), limit)
      // A server that ends every watch at once must not be asked in a tight loop.
      if (performance.now() - began < SHORT_WATCH_MS) await sleep(SHORT_WATCH_MS, undefined, { ref: false })
    }

    return true
  }

  async #list(): Promise<string> {
    const fresh = new Map<string, V>()
    for (let next = ''; ;) {
      const query = `limit=${PAGE}${this.#selector}${next && `&continue=${encodeURIComponent(next)}`}`
      const page = await this.#kubernetes.get<List<T>>(`${this.#path}?${query}`)
      for (const item of page.items) {
        const value = this.#project(item)
        if (value !== undefined) fresh.set(keyOf(item), value)
      }

      next = page.metadata.continue ?? ''
      if (next) continue
      this.#values = fresh
      return page.metadata.resourceVersion
    }
  }

  /** Answers the resource version to go on from. */
  #apply({ object, type }: WatchEvent): string | undefined {
    // 410 Gone: too far behind; thrown so that everything is listed again.
    if (type === 'ERROR') throw new Error((object as { message?: string }).message ?? 'Watch failed')
    const item = object as T
    if (type !== 'BOOKMARK') this.#put(item, type === 'DELETED' ? undefined : this.#project(item))
    return item.metadata.resourceVersion
  }

  #put(item: T, value: V | undefined): void {
    const key = keyOf(item)
    // Most updates of an object touch nothing that is kept.
    if (JSON.stringify(this.#values.get(key)) === JSON.stringify(value)) return
    if (value === undefined) this.#values.delete(key)
    else this.#values.set(key, value)
    this.#onChange()
  }
}

function keyOf({ metadata }: KubernetesObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`
}
