import { asTpxError, messageOf, TpxError } from '../base/error.ts'
import { ApiClient } from '../kube/api-client.ts'
import {
  applyObject,
  applyObjects,
  deleteObject,
  deleteObjects,
  listLabelled,
  type OwnedObject,
  readObject,
  waitUntilGone,
} from '../kube/apply.ts'
import type { KubernetesObject } from '../kube/chart/chart.ts'
import { userValues, type ValueFlags } from '../kube/chart/values.ts'
import { describeRef, objectPath, type ObjectRef } from '../kube/object-path.ts'
import { waitForRollout } from '../kube/rollout.ts'
import {
  checkVersion,
  findManager,
  type HelmTarget,
  isOwn,
  ownLabels,
  refuseForeign,
  rememberedValues,
  renderRelease,
  withCluster,
} from './helm-release.ts'

/** What `tpx helm install` does. */
export type InstallOptions = HelmTarget & { createNamespace: boolean; keepFailed: boolean; values: ValueFlags; wait: boolean }
/** What `tpx helm upgrade` does. */
export type UpgradeOptions = HelmTarget & { resetValues: boolean; values: ValueFlags; wait: boolean }
/** What was brought into the cluster. */
export type Installed = { image: string; isReady: boolean; namespace: string; objects: string[]; removed: string[]; version: string }

const CLEANUP_MS = 30_000

/**
 * Installs the traffic-manager. What a failed install made is removed again, unless it shall be kept.
 * @throws TpxError MANAGER_EXISTS, MANAGER_IMAGE_FAILED, NAMESPACE_NOT_FOUND, CHART_INVALID, CLUSTER_TOO_OLD, KUBERNETES_*
 */
export async function installManager(options: InstallOptions): Promise<Installed> {
  const { namespace, onProgress } = options
  const { chart, objects, remembered } = await renderRelease(options, await userValues(options.values))
  return withCluster(options, async (api) => {
    await Promise.all([checkVersion(api), refuseExisting(api, [...objects, remembered], namespace)])
    const created: ObjectRef[] = []
    try {
      await ensureNamespace(api, options, (object) => created.push(object))
      onProgress(`Installing the traffic-manager ${chart.appVersion} in namespace "${namespace}"`)
      await applyObjects(api, [...objects, remembered], (object) => created.push(object))
      await finish(api, options)
    } catch (error) {
      throw options.keepFailed ? kept(error, namespace) : await undo(options, api, { created, error })
    }

    return installed(options, objects, chart.appVersion)
  })
}

/**
 * Brings the traffic-manager to this version and to the given values; those of the last time stay in force unless reset.
 * The values are remembered only when it worked, so that an upgrade without flags goes back to what worked.
 * @throws TpxError MANAGER_NOT_INSTALLED, MANAGER_EXISTS (another tool's), MANAGER_IMAGE_FAILED, CHART_INVALID, KUBERNETES_*
 */
export async function upgradeManager(options: UpgradeOptions): Promise<Installed> {
  const { namespace, onProgress } = options
  return withCluster(options, async (api) => {
    const manager = await findManager(api, namespace)
    if (!manager)
      throw new TpxError('MANAGER_NOT_INSTALLED', `There is no traffic-manager in namespace "${namespace}"`, {
        hint: `tpx helm install${namespace === 'ambassador' ? '' : ` --manager-namespace ${namespace}`}`,
      })
    refuseForeign(asDeployment(manager), namespace, 'upgrade')
    const base = options.resetValues ? {} : await rememberedValues(api, namespace)
    const { chart, objects, remembered } = await renderRelease(options, await userValues(options.values, base))
    await checkVersion(api)
    onProgress(`Upgrading the traffic-manager in namespace "${namespace}" to ${chart.appVersion}`)
    await applyObjects(api, objects, () => {})
    await finish(api, options).catch((error: unknown) => {
      throw halfway(error, namespace)
    })
    const removed = await prune(api, [...objects, remembered], namespace)
    await applyObject(api, remembered)
    return { ...installed(options, objects, chart.appVersion), removed }
  })
}

async function finish(api: ApiClient, { namespace, onProgress, timeoutMs, wait }: InstallOptions | UpgradeOptions): Promise<void> {
  if (wait) await waitForRollout(api, { name: 'traffic-manager', namespace, onProgress, timeoutMs })
}

async function refuseExisting(api: ApiClient, objects: KubernetesObject[], namespace: string): Promise<void> {
  const manager = await findManager(api, namespace)
  if (manager) {
    refuseForeign(asDeployment(manager), namespace, 'upgrade')
    const version = manager.metadata.labels?.['app.kubernetes.io/version'] ?? '?'
    throw new TpxError('MANAGER_EXISTS', `The traffic-manager ${version} is in namespace "${namespace}" already`, {
      hint: `tpx helm upgrade${namespace === 'ambassador' ? '' : ` --manager-namespace ${namespace}`}`,
    })
  }

  const found = await Promise.all(objects.map(async (object) => ({ object, there: await readObject(api, object) })))
  const foreign = found.find(({ there }) => there && !isOwn(there, namespace))
  if (foreign)
    throw new TpxError('MANAGER_EXISTS', `${describeRef(foreign.object)} is in the cluster already and is not tpx's`, {
      hint: `Look at it with "kubectl get --raw ${objectPath(foreign.object)}"; remove it, or take another namespace with --manager-namespace`,
    })
}

/** The namespace, where it must be made: the strictest rules for its Pods, and a label that says that it may go again. */
async function ensureNamespace(api: ApiClient, options: InstallOptions, onCreated: (object: ObjectRef) => void): Promise<void> {
  const { namespace, onProgress } = options
  const labels = {
    'app.kubernetes.io/managed-by': 'tpx',
    ...ownLabels(namespace),
    'pod-security.kubernetes.io/enforce': 'restricted',
  }
  const object = { apiVersion: 'v1', kind: 'Namespace', metadata: { labels, name: namespace } }
  const there = await readObject<ObjectRef & { status?: { phase?: string } }>(api, object)
  if (there?.status?.phase === 'Terminating') {
    onProgress(`Waiting for the end of the namespace "${namespace}" of before`)
    await waitUntilGone(api, object, options.timeoutMs)
  } else if (there) {
    return
  }

  if (!options.createNamespace)
    throw new TpxError('NAMESPACE_NOT_FOUND', `The cluster has no namespace "${namespace}"`, {
      hint: 'Leave --no-create-namespace out to have it made',
    })
  if (await applyObject(api, object)) onCreated(object)
}

/** Removes what the upgrade no longer has, e.g. the client's roles. */
async function prune(api: ApiClient, objects: KubernetesObject[], namespace: string): Promise<string[]> {
  const paths = new Set(objects.map((object) => objectPath(object)))
  const stale = (await listLabelled(api, ownLabels(namespace))).filter((object) => !paths.has(objectPath(object)))
  await deleteObjects(api, stale, CLEANUP_MS)
  return stale.map(describeRef)
}

/**
 * The failure, after everything that was made is gone again; only the namespace may need some more seconds to end.
 * Works with a client of its own: the user may have interrupted.
 */
async function undo(
  { onProgress }: InstallOptions,
  { kubeConfig }: ApiClient,
  { created, error }: { created: ObjectRef[]; error: unknown },
): Promise<Error> {
  const failure = asTpxError(error)
  if (created.length === 0) return failure
  onProgress('The install failed; removing what it made')
  const api = new ApiClient(kubeConfig)
  const [namespaces, objects] = [created.filter(isNamespace), created.filter((object) => !isNamespace(object))]
  const rest = await deleteObjects(api, objects, CLEANUP_MS)
    .then(() => Promise.all(namespaces.map((object) => deleteObject(api, object))))
    .then(
      () => 'Everything that this install had made is removed again',
      (reason: unknown) => `Not everything could be removed again (${messageOf(reason)}): run "tpx helm uninstall"`,
    )
  api.close()
  return new TpxError(failure.code, failure.message, { cause: failure.cause, hint: failure.hint ? `${failure.hint}. ${rest}` : rest })
}

function isNamespace({ kind }: ObjectRef): boolean {
  return kind === 'Namespace'
}

function kept(error: unknown, namespace: string): Error {
  if (!(error instanceof TpxError)) return error as Error
  const rest = `What was made is kept: "kubectl -n ${namespace} get all"; remove it with "tpx helm uninstall"`
  return new TpxError(error.code, error.message, { cause: error.cause, hint: rest })
}

function halfway(error: unknown, namespace: string): Error {
  if (!(error instanceof TpxError)) return error as Error
  const rest = `Go back to the values of before with "tpx helm upgrade${namespace === 'ambassador' ? '' : ` --manager-namespace ${namespace}`}"`
  return new TpxError(error.code, error.message, { cause: error.cause, hint: error.hint ? `${error.hint}. ${rest}` : rest })
}

function installed({ namespace, wait }: InstallOptions | UpgradeOptions, objects: KubernetesObject[], version: string): Installed {
  const deployment = objects.find(({ kind }) => kind === 'Deployment') as
    | { spec?: { template?: { spec?: { containers?: { image?: string }[] } } } }
    | undefined
  const image = deployment?.spec?.template?.spec?.containers?.[0]?.image ?? ''
  return { image, isReady: wait, namespace, objects: objects.map(describeRef), removed: [], version }
}

/** The API leaves kind and version out of nothing but lists; still, the type does not say so. */
function asDeployment(object: OwnedObject): OwnedObject {
  return { ...object, kind: 'Deployment' }
}
