// The traffic-manager's injection on a real cluster: what the API server, the kubelet and the EndpointSlice controller make of the patch.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { KubeConfig } from '@kubernetes/client-node'
import { execa } from 'execa'
import { silentLogger } from '../../src/base/logger.ts'
import { AgentInjector } from '../../src/traffic-manager/agent-injector.ts'
import { ClusterApi } from '../../src/traffic-manager/cluster-api.ts'
import { agentConfigOf } from '../../src/traffic-manager/inject.ts'
import type { Pod, Service } from '../../src/traffic-manager/kubernetes-objects.ts'
import { resolveTarget } from '../../src/traffic-manager/target.ts'
import { ensureManager, SAMPLE_IMAGE } from '../helpers/cluster.ts'
import { AGENT } from '../helpers/pods.ts'
import { eventually, kubectl } from '../helpers/tpx.ts'

const NAMESPACE = 'tpx-test-injection'
const RESTRICTED = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  runAsNonRoot: true,
  runAsUser: 10_001,
  seccompProfile: { type: 'RuntimeDefault' },
}

const list = async <T>(kind: string, selector: string): Promise<T[]> =>
  (JSON.parse(await kubectl('--namespace', NAMESPACE, 'get', kind, '--selector', selector, '--output', 'json')) as { items: T[] }).items

async function apply(...items: object[]): Promise<void> {
  const input = JSON.stringify({ apiVersion: 'v1', items, kind: 'List' })
  await execa('test/cluster/cluster', ['kubectl', 'apply', '--filename', '-'], { input, timeout: 30_000 })
}

/** A Deployment that a restricted namespace admits, and its Service. */
function anApp(name: string, changes: { annotations?: object; kind?: string; service?: Service['spec'] } = {}): object[] {
  const labels = { app: name }
  const container = {
    args: ['web'],
    image: SAMPLE_IMAGE,
    imagePullPolicy: 'Never',
    name: 'web',
    ports: [{ name: 'http', containerPort: 8080 }],
    readinessProbe: { httpGet: { path: '/hi', port: 'http' }, periodSeconds: 1 },
    securityContext: RESTRICTED,
  }
  const metadata = { name, namespace: NAMESPACE }
  const template = {
    metadata: { annotations: changes.annotations ?? {}, labels },
    spec: { containers: [container], terminationGracePeriodSeconds: 1 },
  }
  return [
    { apiVersion: 'v1', kind: 'Service', metadata, spec: { ports: [{ name: 'http', port: 80, targetPort: 'http' }], selector: labels } },
    {
      apiVersion: 'apps/v1',
      kind: changes.kind ?? 'Deployment',
      metadata,
      spec: { replicas: 1, selector: { matchLabels: labels }, template },
    },
  ]
}

async function kubeConfig(): Promise<KubeConfig> {
  const config = new KubeConfig()
  const { stdout } = await execa('test/cluster/cluster', ['kubeconfig'])
  config.loadFromFile(process.env['KUBECONFIG'] ?? stdout.trim())
  return config
}

const isReady = ({ metadata, status }: Pod): boolean =>
  !metadata?.deletionTimestamp && (status?.conditions ?? []).some((condition) => condition.type === 'Ready' && condition.status === 'True')
const readyPod = (name: string, fits: (pod: Pod) => boolean = () => true): Promise<Pod> =>
  eventually(
    `a ready Pod of ${name}`,
    async () => (await list<Pod>('pods', `app=${name}`)).find((pod) => isReady(pod) && fits(pod)),
    30_000,
  )
const portsOf = async (name: string): Promise<(number | undefined)[]> =>
  (await list<{ ports?: { port?: number }[] }>('endpointslices', `kubernetes.io/service-name=${name}`)).flatMap(
    ({ ports }) => ports?.map(({ port }) => port) ?? [],
  )

describe('injection on a real cluster', { timeout: 240_000 }, () => {
  let cluster: ClusterApi

  before(async () => {
    await ensureManager()
    cluster = new ClusterApi(await kubeConfig())
    const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' }
    await apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { labels, name: NAMESPACE } })
  })

  after(async () => {
    await kubectl('delete', 'namespace', NAMESPACE, '--wait=false')
  })

  test('a marked Pod template gets an agent in a restricted namespace, and its Service leads to the agent', async () => {
    await apply(...anApp('marked', { annotations: { 'telepresence.io/inject-traffic-agent': 'enabled' } }))
    const pod = await readyPod('marked')
    const config = agentConfigOf(pod)
    assert.deepEqual([config?.workload, config?.workloadKind], ['marked', 'Deployment'])
    assert.deepEqual(
      await eventually('the EndpointSlice', async () => (await portsOf('marked')).includes(9901) && portsOf('marked'), 10_000),
      [9901],
    )
  })

  test('a Pod template without a mark is left alone', async () => {
    await apply(...anApp('plain'))
    assert.equal((await readyPod('plain')).spec?.initContainers, undefined)
    assert.deepEqual(
      await eventually('the EndpointSlice', async () => (await portsOf('plain')).length > 0 && portsOf('plain'), 10_000),
      [8080],
    )
  })

  for (const kind of ['Deployment', 'ReplicaSet'] as const) {
    test(`ensureAgent() gives the Pods of a ${kind} an agent`, async () => {
      const name = `ensured-${kind.toLowerCase()}`
      await apply(...anApp(name, { kind }))
      await readyPod(name)
      const { containerPort, workloadKind } = await resolveTarget(cluster, { namespace: NAMESPACE, workload: name })
      assert.deepEqual([workloadKind, containerPort], [kind, 8080])
      const injector = new AgentInjector({ agent: AGENT, cluster, logger: silentLogger() })
      const arrived = (): Promise<unknown> => readyPod(name, (pod) => agentConfigOf(pod) !== undefined)
      await injector.ensureAgent(
        { containerPort, kind, namespace: NAMESPACE, workload: name },
        { arrived, signal: AbortSignal.timeout(60_000) },
      )
      const pods = (await list<Pod>('pods', `app=${name}`)).filter((pod) => isReady(pod))
      assert.ok(pods.length > 0 && pods.every((pod) => agentConfigOf(pod)))
    })
  }

  test('ensureAgent() takes a roll-out back that a quota refuses, without a new Pod', async () => {
    await apply(...anApp('refused'))
    const before = await readyPod('refused')
    await kubectl('--namespace', NAMESPACE, 'create', 'quota', 'full', '--hard=pods=1')
    await eventually(
      'the quota',
      async () => (await kubectl('--namespace', NAMESPACE, 'get', 'quota', 'full', '--output', 'jsonpath={.status.hard.pods}')) === '1',
      10_000,
    )
    const injector = new AgentInjector({ agent: AGENT, cluster, logger: silentLogger() })
    const target = { kind: 'Deployment' as const, namespace: NAMESPACE, workload: 'refused' }
    const work = injector.ensureAgent(target, { arrived: () => new Promise(() => {}), signal: AbortSignal.timeout(30_000) })
    await assert.rejects(work, /No traffic-agent in Deployment "refused": the cluster refuses the Pod: .*exceeded quota: full/)
    await kubectl('--namespace', NAMESPACE, 'delete', 'quota', 'full')
    assert.equal((await readyPod('refused')).metadata?.uid, before.metadata?.uid)
  })
})
