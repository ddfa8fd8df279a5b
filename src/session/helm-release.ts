import { join } from 'node:path'
import { TpxError } from '../base/error.ts'
import { ApiClient } from '../kube/api-client.ts'
import { type OwnedObject, readObject } from '../kube/apply.ts'
import { type Chart, type KubernetesObject, loadChart, renderChart } from '../kube/chart/chart.ts'
import { type ChartMap, isMap } from '../kube/chart/chart-value.ts'
import { formatYaml, parseYaml } from '../kube/chart/helm-yaml.ts'
import { type KubeconfigOptions, loadKubeconfig } from '../kube/kubeconfig.ts'
import { describeRef, type ObjectRef } from '../kube/object-path.ts'
import { checkClientConfig } from './check-client-config.ts'

/** Name of the release and of the manager's Deployment; one in a namespace. */
const RELEASE = 'traffic-manager'
const MINIMUM_MINOR = 29

/** Where and how a command works on the traffic-manager. */
export type HelmTarget = KubeconfigOptions & {
  /** The manager's namespace. */
  namespace: string
  onProgress: (text: string) => void
  /** tpx's own folder, where charts/ is. */
  root: string
  signal: AbortSignal
  timeoutMs: number
}

/** Labels of everything that belongs to the traffic-manager of a namespace, in whatever namespace it is. */
export function ownLabels(namespace: string): Record<string, string> {
  return { 'app.kubernetes.io/part-of': 'tpx', 'tpx.dev/manager-namespace': namespace }
}

/** Tells whether an object belongs to the traffic-manager of that namespace. */
export function isOwn({ metadata }: OwnedObject, namespace: string): boolean {
  return Object.entries(ownLabels(namespace)).every(([key, value]) => metadata.labels?.[key] === value)
}

/** The objects of an installation with the user's values; among them the ConfigMap that remembers these. */
export async function renderRelease(
  target: HelmTarget,
  values: ChartMap,
): Promise<{ chart: Chart; objects: KubernetesObject[]; remembered: KubernetesObject }> {
  const { namespace } = target
  const chart = await loadChart(join(target.root, 'charts', 'tpx'))
  checkClientValues(values)
  const objects = renderChart(chart, values, { name: RELEASE, namespace, service: 'tpx' })
  const labels = objects[0]?.metadata['labels']
  const remembered = {
    apiVersion: 'v1',
    data: { 'values.yaml': formatYaml(values) },
    kind: 'ConfigMap',
    metadata: {
      ...valuesRef(namespace).metadata,
      labels: { ...(isMap(labels ?? null) ? (labels as ChartMap) : {}), 'app.kubernetes.io/component': 'values' },
    },
  }
  return { chart, objects, remembered }
}

/** Holds the value `client` against the schema of config.yml, which says more than the chart's. @throws TpxError CHART_INVALID */
function checkClientValues({ client }: ChartMap): void {
  try {
    checkClientConfig({ place: () => 'Value "client"', value: client })
  } catch (error) {
    if (!(error instanceof TpxError)) throw error
    throw new TpxError('CHART_INVALID', error.message, { cause: error, hint: error.hint })
  }
}

/** The values that the user gave last time; none where nobody knows. */
export async function rememberedValues(api: ApiClient, namespace: string): Promise<ChartMap> {
  const found = await readObject<ObjectRef & { data?: Record<string, string> }>(api, valuesRef(namespace))
  const values: unknown = parseYaml(found?.data?.['values.yaml'] ?? '')
  return isMap(values) ? values : {}
}

/** The manager's Deployment as it is in the cluster. */
export async function findManager(api: ApiClient, namespace: string): Promise<OwnedObject | undefined> {
  return readObject(api, { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: RELEASE, namespace } })
}

/**
 * Refuses a traffic-manager that another tool looks after.
 * @throws TpxError MANAGER_EXISTS
 */
export function refuseForeign(object: OwnedObject, namespace: string, verb: string): void {
  if (!isOwn(object, namespace))
    throw new TpxError('MANAGER_EXISTS', `${describeRef(object)} in namespace "${namespace}" is there and is not tpx's`, {
      hint: 'It may be Telepresence\'s: "tpx connect" can use that one. Otherwise remove it, or take another namespace with --manager-namespace',
    })
  if (object.metadata.labels?.['app.kubernetes.io/managed-by'] !== 'tpx')
    throw new TpxError('MANAGER_EXISTS', `The traffic-manager in namespace "${namespace}" was installed with Helm`, {
      hint: `helm ${verb} -n ${namespace} ${object.metadata.labels?.['app.kubernetes.io/instance'] ?? RELEASE}${verb === 'upgrade' ? ' CHART' : ''}`,
    })
}

/** Opens the cluster for a command, and closes its connections in the end. */
export async function withCluster<T>(target: HelmTarget, work: (api: ApiClient) => Promise<T>): Promise<T> {
  const api = new ApiClient(await loadKubeconfig(target), target.signal)
  try {
    return await work(api)
  } finally {
    api.close()
  }
}

/** @throws TpxError CLUSTER_TOO_OLD: the agent is a native sidecar, which an older cluster would take for an init container that never ends */
export async function checkVersion(api: ApiClient): Promise<void> {
  const version = await api.get<{ gitVersion: string; major: string; minor: string }>('/version', { resource: '/version', verb: 'get' })
  if (version?.major !== '1' || Number.parseInt(version.minor) >= MINIMUM_MINOR) return
  throw new TpxError('CLUSTER_TOO_OLD', `The cluster runs Kubernetes ${version.gitVersion}; tpx needs 1.${MINIMUM_MINOR} or later`)
}

function valuesRef(namespace: string): ObjectRef {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'tpx-values', namespace } }
}
