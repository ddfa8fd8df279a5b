// What the benchmark puts into the cluster: a traffic-manager of its own, a target, a caller, and one workload for each round's
// attachments. All in two namespaces, which are removed at the end.
import { randomBytes } from 'node:crypto'
import { eventually, kubectl, run, tpx } from './run.ts'
import { pidInPod } from './processes.ts'

const SAMPLE_IMAGE = 'tpx-test/sample:1'
/** The port name that attachments take over, and the app's port. */
export const PORT = { name: 'http', number: 8080 }

/** A Pod and where its network namespace is. */
export type LabPod = { hostAddress: string; name: string; pid: number; podAddress: string; serviceAddress: string }

/** The names that belong to one run of the benchmark. */
export type Names = { connection: string; id: string; managerNamespace: string; namespace: string }

/** New names. The manager's webhook must come first in the cluster, by the alphabet: another's would inject its own agents. */
export function newNames(): Names {
  const id = randomBytes(3).toString('hex')
  return { connection: `bench-${id}`, id, managerNamespace: `a-tpx-bench-${id}`, namespace: `tpx-bench-${id}` }
}

type KubeList = { items: { metadata: { deletionTimestamp?: string; name: string }; spec: PodSpec; status: PodStatus }[] }
type PodSpec = { clusterIP?: string; initContainers?: { name: string }[] }
type PodStatus = { containerStatuses?: { ready: boolean }[]; hostIP?: string; podIP?: string }

type KubeObject = { kind: string; metadata: Record<string, unknown> } & Record<string, unknown>

function workload(name: string, node: string): KubeObject[] {
  const labels = { app: name }
  const container = {
    args: ['web'],
    env: [{ name: 'NAME', value: `${name}-in-cluster` }],
    image: SAMPLE_IMAGE,
    imagePullPolicy: 'IfNotPresent',
    name: 'web',
    ports: [{ containerPort: PORT.number, name: PORT.name }],
    readinessProbe: { httpGet: { path: '/hi', port: PORT.name }, periodSeconds: 1 },
  }
  const spec = {
    containers: [container],
    nodeSelector: { 'kubernetes.io/hostname': node },
    securityContext: { runAsNonRoot: true, runAsUser: 10001 },
    terminationGracePeriodSeconds: 1,
  }
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { labels, name },
      spec: { replicas: 1, selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { labels, name },
      spec: { ports: [{ name: PORT.name, port: 80, targetPort: PORT.name }], selector: labels },
    },
  ]
}

async function nodes(): Promise<[forTarget: string, forTheRest: string]> {
  const names = (await kubectl(['get', 'nodes', '--output', 'jsonpath={.items[*].metadata.name}'])).trim().split(' ')
  return [names[0] ?? '', names.at(-1) ?? '']
}

async function installManager(names: Names, node: string): Promise<void> {
  const { managerNamespace, namespace } = names
  await tpx(
    ['helm', 'install', '--manager-namespace', managerNamespace, '--no-wait', '--set', `nodeSelector.kubernetes\\.io/hostname=${node}`],
    { seconds: 60 },
  )
  // It is not to meddle with the workloads of others on this cluster.
  const selector = { matchLabels: { 'kubernetes.io/metadata.name': namespace } }
  const patch = JSON.stringify([{ op: 'replace', path: '/webhooks/0/namespaceSelector', value: selector }])
  await kubectl(['patch', 'mutatingwebhookconfiguration', `agent-injector-webhook-${managerNamespace}`, '--type', 'json', '--patch', patch])
}

/** Puts everything into the cluster and waits until it is ready. */
export async function setUpLab(names: Names, rounds: number): Promise<void> {
  const { managerNamespace, namespace } = names
  const [forTarget, forTheRest] = await nodes()
  await installManager(names, forTheRest)
  const objects: KubeObject[] = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { labels: { 'tpx.test': 'suite' }, name: namespace } },
    ...workload('target', forTarget),
    ...workload('caller', forTheRest),
    ...Array.from({ length: rounds }, (_, round) => workload(attachedName(round), forTarget)).flat(),
  ].map((object) => (object.kind === 'Namespace' ? object : { ...object, metadata: { ...object.metadata, namespace } }))
  await kubectl(['apply', '--filename', '-'], {
    input: JSON.stringify({ apiVersion: 'v1', items: objects, kind: 'List' }),
  })
  const rollouts = [
    [managerNamespace, 'traffic-manager'],
    [namespace, 'target'],
    [namespace, 'caller'],
    ...Array.from({ length: rounds }, (_, round) => [namespace, attachedName(round)]),
  ]
  for (const [namespace = '', name = ''] of rollouts)
    await kubectl(['rollout', 'status', `deployment/${name}`, '--namespace', namespace, '--timeout', '60s'], { seconds: 70 })
}

/** Name of the workload that a round attaches to; the first attachment of each finds no agent. */
export function attachedName(round: number): string {
  return `attached-${round}`
}

/** Takes everything out of the cluster again. */
export async function tearDownLab({ managerNamespace, namespace }: Names): Promise<void> {
  const options = { always: true, seconds: 120, statuses: [0, 1] }
  await tpx(['helm', 'uninstall', '--manager-namespace', managerNamespace, '--timeout', '30s'], {
    ...options,
    statuses: [0, 1, 2, 3, 4, 5, 6],
  })
  await kubectl(['delete', 'namespace', namespace, managerNamespace, '--ignore-not-found', '--timeout', '60s'], options)
  const label = `tpx.dev/manager-namespace=${managerNamespace}`
  const kinds = 'mutatingwebhookconfigurations,clusterroles,clusterrolebindings'
  await kubectl(['delete', kinds, '--selector', label, '--ignore-not-found'], options)
}

/** The Pod of a workload of the lab. `agent`: only one that has a traffic-agent. */
export async function findPod(namespace: string, app: string, options: { agent?: boolean; word?: string } = {}): Promise<LabPod> {
  const { agent = false, word = '/sample' } = options
  const pods = async (): Promise<KubeList['items'][number] | undefined> => {
    const list = JSON.parse(
      await kubectl(['get', 'pods', '--namespace', namespace, '--selector', `app=${app}`, '--output', 'json']),
    ) as KubeList
    return list.items.find(
      ({ metadata, spec, status }) =>
        !metadata.deletionTimestamp &&
        (!agent || spec.initContainers?.some(({ name }) => name === 'traffic-agent')) &&
        status.containerStatuses?.every(({ ready }) => ready),
    )
  }
  const pod = await eventually(`a Pod of ${app}`, pods, 20)
  const service = JSON.parse(await kubectl(['get', 'service', app, '--namespace', namespace, '--output', 'json'])) as KubeList['items'][0]
  return {
    hostAddress: pod.status.hostIP ?? '',
    name: pod.metadata.name,
    pid: pidInPod(pod.metadata.name, word),
    podAddress: pod.status.podIP ?? '',
    serviceAddress: service.spec.clusterIP ?? '',
  }
}

/** The process of the lab's traffic-manager. */
export async function managerPid({ managerNamespace }: Names): Promise<number> {
  const name = await kubectl(['get', 'pods', '--namespace', managerNamespace, '--output', 'jsonpath={.items[0].metadata.name}'])
  return pidInPod(name.trim(), 'traffic.cjs')
}

/** Versions of what the figures depend on. */
export async function versions(): Promise<string> {
  const lines = await Promise.all([
    run('docker', ['version', '--format', 'Docker {{.Server.Version}}']).then(({ output }) => output),
    kubectl([
      'get',
      'nodes',
      '--output',
      'jsonpath=Kubernetes {.items[0].status.nodeInfo.kubeletVersion}, {.items[0].status.nodeInfo.containerRuntimeVersion}',
    ]),
  ])
  return [...lines, `Node ${process.version.slice(1)}`].join(', ')
}
