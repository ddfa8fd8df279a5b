import type { Logger } from '../base/logger.ts'
import { type WorkloadInfo_State, WorkloadInfo_Kind as Kind } from '../wire/generated/manager_pb.ts'
import { Changes } from './changes.ts'
import type { Kubernetes } from './kubernetes-api.ts'
import { ObjectStore } from './object-store.ts'
import { isControlled, stateOf, type WorkloadObject } from './workload-state.ts'

/** A workload as Kubernetes has it. */
export type WorkloadRecord = { kind: Kind; kindName: string; name: string; namespace: string; state: WorkloadInfo_State; uid: string }

/** The kinds that can be attached to. */
export const KINDS = [
  { kind: Kind.DEPLOYMENT, kindName: 'Deployment', resource: 'deployments' },
  { kind: Kind.STATEFULSET, kindName: 'StatefulSet', resource: 'statefulsets' },
  { kind: Kind.REPLICASET, kindName: 'ReplicaSet', resource: 'replicasets' },
] as const

/** Longest wait for the first lists. */
const SYNC_TIMEOUT_MS = 8_000

/** A live list of the workloads of one namespace, shared by all who watch it. */
export class NamespaceWorkloads {
  readonly changes = new Changes()
  readonly ready: Promise<void>
  readonly #stores: ObjectStore<WorkloadObject, WorkloadRecord>[]

  constructor(namespace: string, kubernetes: Kubernetes, logger: Logger) {
    this.#stores = KINDS.map(
      ({ kind, kindName, resource }) =>
        new ObjectStore<WorkloadObject, WorkloadRecord>({
          kubernetes,
          logger,
          onChange: () => this.changes.emit(),
          path: `/apis/apps/v1/namespaces/${namespace}/${resource}`,
          project: (object) => {
            if (isControlled(object)) return undefined
            const { name, uid = '' } = object.metadata
            return { kind, kindName, name, namespace, state: stateOf(object), uid }
          },
        }),
    )
    const settled = Promise.all(this.#stores.map((store) => store.settled))
    const limit = new Promise<void>((resolve) => void setTimeout(resolve, SYNC_TIMEOUT_MS).unref())
    this.ready = Promise.race([settled.then(() => {}), limit])
  }

  /** Why a list cannot be had; undefined when all can. */
  get error(): unknown {
    return this.#stores.find(({ error }) => error !== undefined)?.error
  }

  values(): WorkloadRecord[] {
    return this.#stores.flatMap((store) => store.values())
  }

  close(): void {
    for (const store of this.#stores) store.close()
  }
}

type Shared = { users: number; workloads: NamespaceWorkloads }

/** Keeps one watch per namespace for as long as anybody uses it. */
export class WorkloadWatches {
  readonly #kubernetes: Kubernetes
  readonly #logger: Logger
  readonly #shared = new Map<string, Shared>()

  constructor(kubernetes: Kubernetes, logger: Logger) {
    this.#kubernetes = kubernetes
    this.#logger = logger
  }

  /** Opens or shares the watch of a namespace; `release` must be called once. */
  acquire(namespace: string): { release: () => void; workloads: NamespaceWorkloads } {
    const shared = this.#shared.get(namespace) ?? {
      users: 0,
      workloads: new NamespaceWorkloads(namespace, this.#kubernetes, this.#logger),
    }
    this.#shared.set(namespace, shared)
    shared.users++
    const release = (): void => {
      if (--shared.users > 0) return
      shared.workloads.close()
      this.#shared.delete(namespace)
    }
    return { release, workloads: shared.workloads }
  }
}
