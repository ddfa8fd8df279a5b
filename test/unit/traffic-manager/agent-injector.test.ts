import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { TpxError } from '../../../src/base/error.ts'
import { silentLogger } from '../../../src/base/logger.ts'
import { AgentInjector, type AgentTarget, type InjectorTimes } from '../../../src/traffic-manager/agent-injector.ts'
import type { WarningEvent, Workload } from '../../../src/traffic-manager/cluster-access.ts'
import { inject } from '../../../src/traffic-manager/inject.ts'
import { isAbout } from '../../../src/traffic-manager/pod-failure.ts'
import type { Pod } from '../../../src/traffic-manager/kubernetes-objects.ts'
import { FakeCluster } from '../../fakes/fake-cluster.ts'
import { applyJsonPatch } from '../../helpers/apply-json-patch.ts'
import { AGENT, aPod, aWorkload, webService } from '../../helpers/pods.ts'

const TIMES: InjectorTimes = { arrivalMs: 200, failureMs: 5, pollMs: 4, proxyMs: 1, settleMs: 100, staleMs: 20 }
const TARGET: AgentTarget = { containerPort: 8080, kind: 'Deployment', namespace: 'shop', workload: 'web-app' }
const WANTED = 'tpx.dev/restartedAt'
const READY = { conditions: [{ status: 'True', type: 'Ready' }] }

/** A Pod with an agent, ready, of the template with this mark. */
function injectedPod(name: string, mark: string, status: Pod['status'] = READY): Pod {
  const pod = aPod({}, { annotations: { [WANTED]: mark }, labels: { app: 'web-app' }, name, namespace: 'shop', uid: name })
  const patch = inject(pod, { agent: AGENT, namespace: 'shop', services: [webService()], workload: 'web-app', workloadKind: 'Deployment' })
  return { ...(applyJsonPatch(pod, patch) as Pod), status }
}

function plainPod(name: string, annotations: Record<string, string> = {}, status: Pod['status'] = READY): Pod {
  return { ...aPod({}, { annotations, labels: { app: 'web-app' }, name, namespace: 'shop', uid: name }), status }
}

/** A workload with one ready Pod without agent; a roll-out replaces its Pods by `next`. */
function aCluster(next: (mark: string) => Pod[] = (mark) => [injectedPod('new', mark)], workload: Partial<Workload> = {}): FakeCluster {
  const cluster = new FakeCluster()
  cluster.workloads = [aWorkload(workload)]
  cluster.services = [webService()]
  cluster.pods = [plainPod('old')]
  cluster.onRollout = (_workload, mark) => (cluster.pods = next(mark))
  return cluster
}

const annotationOf = (cluster: FakeCluster): string | undefined => cluster.workloads[0]?.template.metadata?.annotations?.[WANTED]
const injectorOf = (cluster: FakeCluster, times: Partial<InjectorTimes> = {}): AgentInjector =>
  new AgentInjector({ agent: AGENT, cluster, logger: silentLogger(), times: { ...TIMES, ...times } })
const never = (): Promise<never> => new Promise(() => {})
const signal = (): AbortSignal => new AbortController().signal

async function refusal(work: Promise<unknown>): Promise<TpxError> {
  const error: unknown = await work.then(
    () => assert.fail('nothing was thrown'),
    (error: unknown) => error,
  )
  assert.ok(error instanceof TpxError, String(error))
  return error
}

test('ensureAgent() rolls out nothing when a Pod has an agent that arrived', async () => {
  const cluster = aCluster()
  cluster.pods = [injectedPod('a', 'x')]
  await injectorOf(cluster).ensureAgent(TARGET, { arrived: () => Promise.resolve(), signal: signal() })
  assert.equal(cluster.rollouts, 0)
})

test('ensureAgent() marks the Pod template and resolves when the agent arrives', async () => {
  const cluster = aCluster()
  await injectorOf(cluster).ensureAgent(TARGET, { arrived: () => sleep(10), signal: signal() })
  assert.equal(cluster.rollouts, 1)
  assert.match(annotationOf(cluster) ?? '', /^\d{4}-\d\d-\d\dT/)
})

test('ensureAgent() waits until no ready Pod without agent is left', async () => {
  const cluster = aCluster((mark) => [plainPod('old'), injectedPod('new', mark)])
  let isGone = false
  setTimeout(() => {
    isGone = true
    cluster.pods = cluster.pods.slice(1)
  }, 30)
  await injectorOf(cluster).ensureAgent(TARGET, { arrived: () => Promise.resolve(), signal: signal() })
  assert.equal(isGone, true)
})

test('ensureAgent() rolls out again when the agents that are there do not relay the port', async () => {
  const cluster = aCluster((mark) => [injectedPod('new', mark)])
  cluster.pods = [applyJsonPatch(injectedPod('a', 'x'), [{ op: 'replace', path: '/spec/initContainers/0/env', value: [] }]) as Pod]
  await injectorOf(cluster).ensureAgent(TARGET, { arrived: () => Promise.resolve(), signal: signal() })
  assert.equal(cluster.rollouts, 1)
})

test('ensureAgent() rolls out again when the agent of a ready Pod does not arrive', async () => {
  const cluster = aCluster()
  cluster.pods = [injectedPod('a', 'x')]
  const arrived = async (): Promise<void> => {
    while (cluster.rollouts === 0) await sleep(2)
  }
  await injectorOf(cluster).ensureAgent(TARGET, { arrived, signal: signal() })
  assert.equal(cluster.rollouts, 1)
})

test('ensureAgent() rolls out once for callers who want the same', async () => {
  const cluster = aCluster()
  const injector = injectorOf(cluster)
  await Promise.all([1, 2, 3].map(() => injector.ensureAgent(TARGET, { arrived: () => sleep(10), signal: signal() })))
  assert.equal(cluster.rollouts, 1)
})

test('ensureAgent() keeps the roll-out when one caller leaves and another has its agent', async () => {
  const cluster = aCluster()
  const injector = injectorOf(cluster)
  const leaving = new AbortController()
  const first = injector.ensureAgent(TARGET, { arrived: never, signal: leaving.signal })
  await injector.ensureAgent(TARGET, { arrived: () => sleep(5), signal: signal() })
  leaving.abort(new TpxError('INTERRUPTED', 'Gone'))
  assert.equal((await refusal(first)).code, 'INTERRUPTED')
  assert.notEqual(annotationOf(cluster), undefined)
})

test('ensureAgent() takes the roll-out back when the caller gives up', async () => {
  const cluster = aCluster()
  const leaving = new AbortController()
  const work = injectorOf(cluster).ensureAgent(TARGET, { arrived: never, signal: leaving.signal })
  setTimeout(() => leaving.abort(new TpxError('INTERRUPTED', 'Gone')), 10)
  assert.equal((await refusal(work)).code, 'INTERRUPTED')
  assert.equal(cluster.rollouts, 1)
  assert.equal(annotationOf(cluster), undefined)
})

test('ensureAgent() puts back the mark of an earlier roll-out when a later one fails', async () => {
  const cluster = aCluster((mark) => [plainPod('new', { [WANTED]: mark })], {
    template: { metadata: { annotations: { [WANTED]: 'earlier' } }, spec: { containers: [] } },
  })
  await refusal(injectorOf(cluster).ensureAgent(TARGET, { arrived: never, signal: signal() }))
  assert.equal(annotationOf(cluster), 'earlier')
})

const waiting = (reason: string, message?: string): Pod['status'] => ({
  initContainerStatuses: [
    {
      image: 'tpx/traffic:1',
      imageID: '',
      name: 'traffic-agent',
      ready: false,
      restartCount: 0,
      state: { waiting: { reason, ...(message ? { message } : {}) } },
    },
  ],
})
const unschedulable: Pod['status'] = {
  conditions: [{ message: '0/2 nodes are available', reason: 'Unschedulable', status: 'False', type: 'PodScheduled' }],
}

for (const [title, next, pattern] of [
  [
    'the image cannot be pulled',
    (mark: string) => [injectedPod('new', mark, waiting('ErrImagePull', 'not found'))],
    /"traffic-agent" of Pod "new" cannot start: ErrImagePull: not found/,
  ],
  ['the agent crashes', (mark: string) => [injectedPod('new', mark, waiting('CrashLoopBackOff'))], /CrashLoopBackOff/],
  [
    'a ConfigMap is missing',
    (mark: string) => [injectedPod('new', mark, waiting('CreateContainerConfigError', 'configmap "c" not found'))],
    /configmap "c" not found/,
  ],
  ['no node has room', (mark: string) => [injectedPod('new', mark, unschedulable)], /fits on no node: 0\/2 nodes are available/],
  [
    'the webhook was not called',
    (mark: string) => [plainPod('new', { [WANTED]: mark })],
    /created without the traffic-agent: the admission webhook/,
  ],
] as const) {
  test(`ensureAgent() fails soon with the reason and takes the roll-out back when ${title}`, async () => {
    const cluster = aCluster((mark) => [plainPod('old'), ...next(mark)])
    const { code, hint, message } = await refusal(
      injectorOf(cluster, { arrivalMs: 10_000 }).ensureAgent(TARGET, { arrived: never, signal: signal() }),
    )
    assert.equal(code, 'AGENT_NOT_READY')
    assert.match(message, pattern)
    assert.ok(hint)
    assert.equal(annotationOf(cluster), undefined)
  })
}

const aWarning = (changes: Partial<WarningEvent> = {}): WarningEvent => ({
  count: 1,
  kind: 'ReplicaSet',
  message: 'exceeded quota: q',
  name: 'web-app-5c58b5b7c5',
  reason: 'FailedCreate',
  uid: 'e1',
  ...changes,
})

test('ensureAgent() fails with the text of the event when the cluster refuses the Pod', async () => {
  const cluster = aCluster(() => {
    cluster.warnings = [aWarning()]
    return [plainPod('old')]
  })
  const { message } = await refusal(injectorOf(cluster, { arrivalMs: 10_000 }).ensureAgent(TARGET, { arrived: never, signal: signal() }))
  assert.match(message, /the cluster refuses the Pod: exceeded quota: q/)
})

test('ensureAgent() passes over events that were there before, and those of other workloads', async () => {
  const cluster = aCluster(() => {
    cluster.warnings = [aWarning(), aWarning({ name: 'web-app-two-5c58b5b7c5', uid: 'e2' })]
    return [plainPod('old')]
  })
  cluster.warnings = [aWarning()]
  const { message } = await refusal(injectorOf(cluster, { arrivalMs: 40 }).ensureAgent(TARGET, { arrived: never, signal: signal() }))
  assert.match(message, /did not arrive within 0.04 s$/)
})

test('ensureAgent() names the last warning when the agent does not arrive in time', async () => {
  const cluster = aCluster((mark) => {
    cluster.warnings = [
      aWarning({ kind: 'Pod', message: 'MountVolume.SetUp failed', name: 'web-app-5c58b5b7c5-x7k2v', reason: 'FailedMount' }),
    ]
    return [injectedPod('web-app-5c58b5b7c5-x7k2v', mark, {})]
  })
  const { code, message } = await refusal(injectorOf(cluster, { arrivalMs: 40 }).ensureAgent(TARGET, { arrived: never, signal: signal() }))
  assert.equal(code, 'AGENT_NOT_READY')
  assert.match(message, /did not arrive within 0.04 s: MountVolume.SetUp failed$/)
  assert.equal(annotationOf(cluster), undefined)
})

test('ensureAgent() does not mind an app that crashes once its agent has arrived', async () => {
  const crashing = {
    image: 'web:1',
    imageID: '',
    name: 'web',
    ready: false,
    restartCount: 3,
    state: { waiting: { reason: 'CrashLoopBackOff' } },
  }
  const running = { image: '', imageID: '', name: 'traffic-agent', ready: true, restartCount: 0, state: { running: {} } }
  const cluster = aCluster((mark) => [injectedPod('new', mark, { containerStatuses: [crashing], initContainerStatuses: [running] })])
  cluster.pods = [plainPod('old', {}, { containerStatuses: [crashing] })]
  await injectorOf(cluster, { failureMs: 0 }).ensureAgent(TARGET, { arrived: () => Promise.resolve(), signal: signal() })
})

for (const [title, changes, pattern, hint] of [
  ['is scaled to 0', { replicas: 0 }, /scaled to 0/, /scale deployment web-app --replicas=1/],
  ['is paused', { isPaused: true }, /paused/, /rollout resume deployment web-app/],
] as const) {
  test(`ensureAgent() says so at once when the workload ${title}`, async () => {
    const cluster = aCluster(undefined, changes)
    const error = await refusal(injectorOf(cluster).ensureAgent(TARGET, { arrived: never, signal: signal() }))
    assert.equal(error.code, 'AGENT_NOT_READY')
    assert.match(error.message, pattern)
    assert.match(error.hint ?? '', hint)
    assert.equal(cluster.rollouts, 0)
  })
}

test('ensureAgent() touches nothing when the installation has no injector', async () => {
  const cluster = aCluster()
  const injector = new AgentInjector({ agent: { ...AGENT, image: '' }, cluster, logger: silentLogger(), times: TIMES })
  const { code, message } = await refusal(injector.ensureAgent(TARGET, { arrived: never, signal: signal() }))
  assert.equal(code, 'AGENT_NOT_READY')
  assert.match(message, /adds none/)
  assert.equal(cluster.rollouts, 0)
})

test('ensureAgent() fails when the workload is gone', async () => {
  const cluster = aCluster()
  cluster.workloads = []
  assert.equal((await refusal(injectorOf(cluster).ensureAgent(TARGET, { arrived: never, signal: signal() }))).code, 'WORKLOAD_NOT_FOUND')
})

test('ensureAgent() outlives single requests that fail', async () => {
  const cluster = aCluster()
  let n = 0
  cluster.listPods = () => (++n % 2 ? Promise.resolve(cluster.pods) : Promise.reject(new Error('connection reset')))
  await injectorOf(cluster).ensureAgent(TARGET, { arrived: () => sleep(20), signal: signal() })
})

test('ensureAgent() deletes the Pods of a bare ReplicaSet one by one, each after the last was replaced', async () => {
  const cluster = aCluster(() => cluster.pods, { kind: 'ReplicaSet', replicas: 2, rollsItself: false })
  cluster.pods = [plainPod('a'), plainPod('b')]
  cluster.onDelete = (name) => {
    assert.equal(cluster.pods.filter(({ status }) => status === READY).length, 1, 'one Pod serves at any time')
    setTimeout(() => cluster.pods.push(injectedPod(`${name}2`, annotationOf(cluster) ?? '')), 8)
  }
  const target: AgentTarget = { ...TARGET, kind: 'ReplicaSet' }
  await injectorOf(cluster, { settleMs: 2000 }).ensureAgent(target, { arrived: () => Promise.resolve(), signal: signal() })
  assert.deepEqual(cluster.deleted, ['a', 'b'])
})

test('ensureAgent() deletes the broken Pod of a StatefulSet when it takes the roll-out back', async () => {
  const cluster = aCluster((mark) => [injectedPod('web-app-0', mark, waiting('ErrImagePull'))], { kind: 'StatefulSet' })
  await refusal(injectorOf(cluster).ensureAgent({ ...TARGET, kind: 'StatefulSet' }, { arrived: never, signal: signal() }))
  assert.deepEqual(cluster.deleted, ['web-app-0'])
})

for (const [title, metadata, expected] of [
  ['its template is marked', { annotations: { [WANTED]: 'x' } }, ['web-app', 'Deployment']],
  ['Telepresence says so', { annotations: { 'telepresence.io/inject-traffic-agent': 'enabled' } }, ['web-app', 'Deployment']],
  [
    'a StatefulSet owns it',
    {
      annotations: { [WANTED]: 'x' },
      ownerReferences: [{ apiVersion: 'apps/v1', controller: true, kind: 'StatefulSet', name: 'db', uid: 'u' }],
    },
    ['db', 'StatefulSet'],
  ],
] as const) {
  test(`onPod() adds an agent when ${title}`, async () => {
    const pod = aPod({}, structuredClone(metadata) as Pod['metadata'])
    const patch = await injectorOf(aCluster()).onPod(pod, 'shop')
    const config = JSON.stringify(patch)
    assert.ok(config.includes(`\\"workload\\":\\"${expected[0]}\\",\\"workloadKind\\":\\"${expected[1]}\\"`), config)
  })
}

test('onPod() asks for the ReplicaSet when the label does not tell the Deployment', async () => {
  const cluster = aCluster()
  const metadata = { annotations: { [WANTED]: 'x' }, labels: { app: 'web-app' } }
  const workloadOf = async (): Promise<string | undefined> => {
    const patch = await injectorOf(cluster).onPod(aPod({}, metadata), 'shop')
    return /\\"workload\\":\\"([^"]*)\\",\\"workloadKind\\":\\"([^"]*)\\"/.exec(JSON.stringify(patch))?.slice(1).join(' ')
  }
  cluster.workloads.push(aWorkload({ kind: 'ReplicaSet', name: 'web-app-5c58b5b7c5' }))
  assert.equal(await workloadOf(), 'web-app-5c58b5b7c5 ReplicaSet')
  cluster.workloads.push(aWorkload({ kind: 'ReplicaSet', name: 'web-app-5c58b5b7c5', owner: { kind: 'Deployment', name: 'web-app' } }))
  cluster.workloads.shift()
  cluster.workloads.shift()
  assert.equal(await workloadOf(), 'web-app Deployment')
})

test('onPod() leaves Pods alone that want no agent, or have one', async () => {
  const injector = injectorOf(aCluster())
  assert.deepEqual(await injector.onPod(aPod(), 'shop'), [])
  assert.deepEqual(await injector.onPod(aPod({}, { annotations: { 'telepresence.io/inject-traffic-agent': 'disabled' } }), 'shop'), [])
  assert.deepEqual(await injector.onPod(injectedPod('a', 'x'), 'shop'), [])
})

test('onPod() refuses a marked Pod that belongs to no workload we know', async () => {
  const job = [{ apiVersion: 'batch/v1', controller: true, kind: 'Job', name: 'j', uid: 'u' }]
  for (const ownerReferences of [[], job]) {
    const pod = aPod({}, { annotations: { [WANTED]: 'x' }, ownerReferences })
    assert.equal((await refusal(injectorOf(aCluster()).onPod(pod, 'shop'))).code, 'WORKLOAD_NOT_FOUND')
  }
})

for (const [kind, event, expected] of [
  ['Deployment', { kind: 'ReplicaSet', name: 'web-5c58b5b7c5' }, true],
  ['Deployment', { kind: 'Pod', name: 'web-5c58b5b7c5-x7k2v' }, true],
  ['Deployment', { kind: 'Pod', name: 'web-app-5c58b5b7c5-x7k2v' }, false],
  ['Deployment', { kind: 'ReplicaSet', name: 'web-app' }, false],
  ['StatefulSet', { kind: 'StatefulSet', name: 'web' }, true],
  ['StatefulSet', { kind: 'Pod', name: 'web-0' }, true],
  ['StatefulSet', { kind: 'Pod', name: 'web-x7k2v' }, false],
  ['ReplicaSet', { kind: 'Pod', name: 'web-x7k2v' }, true],
] as const) {
  test(`isAbout() is ${expected} for ${event.kind} ${event.name} and ${kind} web`, () => {
    assert.equal(isAbout({ kind, name: 'web', namespace: 'shop' }, aWarning(event)), expected)
  })
}
