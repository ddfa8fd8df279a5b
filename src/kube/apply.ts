import { setTimeout as sleep } from 'node:timers/promises'
import { TpxError } from '../base/error.ts'
import { type ApiClient, interrupted } from './api-client.ts'
import { apiError, httpStatusOf, readStatus } from './api-error.ts'
import type { HttpStatusError } from './api-request.ts'
import {
  attemptFor,
  describeRef,
  type KnownKind,
  listPath,
  objectPath,
  type ObjectRef,
  RESOURCES,
  sortForDelete,
  sortForInstall,
} from './object-path.ts'

/** Who owns the fields that tpx sets (server-side apply). What others set, such as the webhook's caBundle, is left alone. */
const FIELD_MANAGER = 'tpx'
const GONE_POLL_MS = 100

/** What an object of an installation looks like when it is read. */
export type OwnedObject = ObjectRef & { metadata: { labels?: Record<string, string>; name: string; namespace?: string } }

/**
 * Server-side apply of one object; it takes over fields that somebody else set by hand.
 * @returns whether the object was created
 * @throws TpxError CHART_INVALID where the API finds the object invalid, KUBERNETES_*
 */
export async function applyObject(api: ApiClient, object: ObjectRef): Promise<boolean> {
  const attempt = attemptFor('patch', object)
  try {
    const path = `${objectPath(object)}?fieldManager=${FIELD_MANAGER}&force=true`
    const answer = await api.write({ attempt, body: object, contentType: 'application/apply-patch+yaml', method: 'PATCH', path })
    return answer.status === 201
  } catch (error) {
    const status = httpStatusOf(error)
    const said = readStatus((error as Partial<HttpStatusError>).body)?.message ?? `HTTP ${status}`
    // A value that cannot be read at all, such as a quantity "much", makes the server answer 500.
    const isInvalid = status === 400 || status === 422 || (status === 500 && /^failed to (convert|create) /.test(said))
    if (!isInvalid) throw apiError(error, api.kubeConfig, attempt)
    throw new TpxError('CHART_INVALID', `The Kubernetes API does not accept ${describeRef(object)}: ${said}`, {
      cause: error,
      hint: 'Check the values that you gave with --set and -f',
    })
  }
}

/**
 * Applies objects, those of a kind at the same time, in the order of installation.
 * @param onCreated hears of every object that was not there before, also when another one fails
 */
export async function applyObjects(api: ApiClient, objects: readonly ObjectRef[], onCreated: (object: ObjectRef) => void): Promise<void> {
  for (const stage of stagesOf(sortForInstall(objects))) {
    const results = await Promise.allSettled(
      stage.map(async (object) => {
        if (await applyObject(api, object)) onCreated(object)
      }),
    )
    const failed = results.find((result) => result.status === 'rejected')
    if (failed) throw failed.reason
  }
}

/** Deletes objects, webhooks first and namespaces last, and waits until they are gone; what is gone already is no error. */
export async function deleteObjects(api: ApiClient, objects: readonly ObjectRef[], timeoutMs: number): Promise<void> {
  for (const stage of stagesOf(sortForDelete(objects))) {
    await Promise.all(stage.map((object) => deleteObject(api, object)))
    await Promise.all(stage.map((object) => waitUntilGone(api, object, timeoutMs)))
  }
}

/** Deletes one object; a Deployment's Pods go before it does. False when it was not there. */
export async function deleteObject(api: ApiClient, object: ObjectRef): Promise<boolean> {
  // For what has no dependents, too, "Foreground" takes a turn of the garbage collector.
  const propagationPolicy = object.kind === 'Deployment' ? 'Foreground' : 'Background'
  return api.delete(objectPath(object), attemptFor('delete', object), { propagationPolicy })
}

/** @throws TpxError UNINSTALL_INCOMPLETE when the object is still there after `timeoutMs` */
export async function waitUntilGone(api: ApiClient, object: ObjectRef, timeoutMs: number): Promise<void> {
  const end = performance.now() + timeoutMs
  const attempt = attemptFor('get', object)
  while (await api.get(objectPath(object), attempt)) {
    if (performance.now() > end)
      throw new TpxError('UNINSTALL_INCOMPLETE', `${describeRef(object)} is still there after ${Math.round(timeoutMs / 1000)} s`, {
        hint: `kubectl describe ${RESOURCES[object.kind as KnownKind].plural} ${object.metadata.name}; something may hold it by a finalizer`,
      })
    await pause(api, GONE_POLL_MS)
  }
}

/**
 * Everything that carries all the given labels, of the kinds that a chart may hold, in the order of installation.
 * Namespaces are left out: they may hold what is not ours.
 */
export async function listLabelled(api: ApiClient, labels: Record<string, string>): Promise<OwnedObject[]> {
  const selector = encodeURIComponent(
    Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(','),
  )
  const kinds = (Object.keys(RESOURCES) as KnownKind[]).filter((kind) => kind !== 'Namespace')
  const lists = await Promise.all(
    kinds.map(async (kind) => {
      const { apiVersion, plural } = RESOURCES[kind]
      const items = await api.list<OwnedObject>(`${listPath(kind)}?labelSelector=${selector}`, { resource: plural, verb: 'list' })
      // The items of a list do not say what they are.
      return items.map(({ metadata }) => ({ apiVersion, kind, metadata }))
    }),
  )
  return sortForInstall(lists.flat())
}

/** The object as the cluster has it, or undefined. */
export async function readObject<T extends ObjectRef = OwnedObject>(api: ApiClient, ref: ObjectRef): Promise<T | undefined> {
  return api.get<T>(objectPath(ref), attemptFor('get', ref))
}

/** Waits; ends at once with INTERRUPTED when the client's signal aborts. */
export async function pause(api: ApiClient, ms: number): Promise<void> {
  await sleep(ms, undefined, api.signal ? { signal: api.signal } : {}).catch(() => {
    throw interrupted()
  })
}

/** Objects of one kind after the other. */
function stagesOf(objects: readonly ObjectRef[]): ObjectRef[][] {
  const byKind = Map.groupBy(objects, ({ kind }) => kind)
  return [...byKind.values()]
}
