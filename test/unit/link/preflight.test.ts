import assert from 'node:assert/strict'
import { test } from 'node:test'
import { preflight } from '../../../src/link/preflight.ts'
import { type FakeApiOptions, fakeApiServer } from '../../fakes/api-server.ts'

const labels = { app: 'traffic-manager' }
const ready = { conditions: [{ status: 'True', type: 'Ready' }], phase: 'Running' }
const manager = (status: object): object => ({ metadata: { labels, name: 'traffic-manager-1' }, spec: { containers: [] }, status })
const NS = '/api/v1/namespaces'
const REVIEW = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews'

function objects(pods: object[]): NonNullable<FakeApiOptions['objects']> {
  return {
    [`${NS}/team`]: { metadata: { name: 'team' } },
    [NS]: { items: [{ metadata: { name: 'team' } }, { metadata: { name: 'default' } }] },
    [`${NS}/ambassador/services/traffic-manager`]: { metadata: { name: 'traffic-manager' }, spec: { selector: labels } },
    [`${NS}/ambassador/pods`]: { items: pods },
    [`${NS}/empty/pods`]: { items: [] },
    [`${NS}/ambassador/events`]: { items: [{ message: 'Back-off pulling image "x"', metadata: {}, reason: 'BackOff' }] },
    '/api/v1/services': { items: [{ metadata: { name: 'traffic-manager', namespace: 'ambassador' } }] },
  }
}

async function run(options: FakeApiOptions, namespaces = { managerNamespace: 'ambassador', namespace: 'team' }): Promise<string[]> {
  await using api = await fakeApiServer(options)
  await preflight(api.kubeConfig, namespaces, new AbortController().signal)
  return api.requests
}

test('preflight() is content with a namespace and a ready manager, in three requests and one review', async () => {
  const requests = await run({ objects: objects([manager(ready)]) })
  assert.equal(requests.filter((path) => path !== REVIEW).length, 3)
  assert.equal(requests.length, 4)
})

test('preflight() says KUBERNETES_FORBIDDEN where no port-forward may be opened', async () => {
  const denied = { ...objects([manager(ready)]), [REVIEW]: { status: { allowed: false } } }
  await assert.rejects(run({ objects: denied }), { code: 'KUBERNETES_FORBIDDEN', hint: /can-i create pods\/portforward -n ambassador/ })
  await run({ objects: { ...denied, [REVIEW]: { status: { allowed: true } } } })
})

test("preflight() tells the cluster's domain where the manager's Pod is configured with it", async () => {
  const env = [{ name: 'CLUSTER_DOMAIN', value: 'corp.example.' }]
  const pod = { metadata: { labels, name: 'traffic-manager-1' }, spec: { containers: [{ env, name: 'traffic-manager' }] }, status: ready }
  for (const [object, expected] of [
    [pod, { clusterDomain: 'corp.example' }],
    [manager(ready), {}],
  ] as const) {
    await using api = await fakeApiServer({ objects: objects([object]) })
    const found = await preflight(api.kubeConfig, { managerNamespace: 'ambassador', namespace: 'team' }, new AbortController().signal)
    assert.deepEqual(found, expected)
  }
})

test('preflight() goes on where the Namespace object may not be read', async () => {
  await run({ objects: objects([manager(ready)]), statuses: { [`${NS}/team`]: 403 } })
})

test('preflight() says NAMESPACE_NOT_FOUND with the nearest name', async () => {
  await assert.rejects(run({ objects: objects([manager(ready)]) }, { managerNamespace: 'ambassador', namespace: 'taem' }), {
    code: 'NAMESPACE_NOT_FOUND',
    hint: 'Did you mean "team"?',
  })
})

test('preflight() says MANAGER_NOT_INSTALLED and where there is one', async () => {
  await assert.rejects(run({ objects: objects([]) }, { managerNamespace: 'empty', namespace: 'team' }), {
    code: 'MANAGER_NOT_INSTALLED',
    hint: /pass --manager-namespace ambassador/,
  })
})

test('preflight() says how to install where there is none', async () => {
  const { '/api/v1/services': _, ...rest } = objects([])
  await assert.rejects(run({ objects: rest }, { managerNamespace: 'empty', namespace: 'team' }), {
    code: 'MANAGER_NOT_INSTALLED',
    hint: 'tpx helm install --manager-namespace empty',
  })
})

test('preflight() says MANAGER_IMAGE_FAILED at once with the reason and the newest event', async () => {
  const waiting = {
    containerStatuses: [{ name: 'c', ready: false, restartCount: 0, state: { waiting: { reason: 'ErrImagePull' } } }],
    phase: 'Pending',
  }
  await assert.rejects(run({ objects: objects([manager(waiting)]) }), {
    code: 'MANAGER_IMAGE_FAILED',
    message: /ErrImagePull; BackOff: Back-off pulling image "x"/,
    hint: /kubectl describe pod traffic-manager-1 -n ambassador/,
  })
})

test('preflight() waits for a manager that is starting', async () => {
  let asked = 0
  const pods = (): object => ({ items: [manager((asked += 1) > 2 ? ready : { phase: 'Pending' })] })
  await run({ objects: { ...objects([]), [`${NS}/ambassador/pods`]: pods } })
  assert.equal(asked, 3)
})

test('preflight() says MANAGER_IMAGE_FAILED where the Deployment has no Pod', async () => {
  await assert.rejects(run({ objects: objects([]) }), { code: 'MANAGER_IMAGE_FAILED', message: /no Pod/ })
})
