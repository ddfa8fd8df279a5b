import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TpxError } from '../../../src/base/error.ts'
import type { ErrorCode } from '../../../src/base/error-codes.ts'
import { resolveTarget, type TargetRequest } from '../../../src/traffic-manager/target.ts'
import type { Workload } from '../../../src/traffic-manager/cluster-access.ts'
import type { Service } from '../../../src/traffic-manager/kubernetes-objects.ts'
import { FakeCluster } from '../../fakes/fake-cluster.ts'
import { aContainer, aService, aWorkload, webService } from '../../helpers/pods.ts'

function aCluster(services: Service[] = [webService()], workloads: Workload[] = [aWorkload()]): FakeCluster {
  return Object.assign(new FakeCluster(), { services, workloads })
}

const resolve = (cluster: FakeCluster, request: Partial<TargetRequest> = {}) =>
  resolveTarget(cluster, { namespace: 'shop', workload: 'web-app', ...request })

async function refusal(
  cluster: FakeCluster,
  request: Partial<TargetRequest> = {},
): Promise<{ code: ErrorCode; hint: string; message: string }> {
  try {
    await resolve(cluster, request)
  } catch (error) {
    assert.ok(error instanceof TpxError)
    return { code: error.code, hint: error.hint ?? '', message: error.message }
  }

  return assert.fail('nothing was thrown')
}

const twoPorts = (): FakeCluster =>
  aCluster(
    [
      aService('web-app', [
        { name: 'http', port: 80, targetPort: 'http' },
        { name: 'admin', port: 8081, targetPort: 'admin' },
      ]),
    ],
    [
      aWorkload({
        template: {
          metadata: { labels: { app: 'web-app' } },
          spec: {
            containers: [
              aContainer({
                ports: [
                  { name: 'http', containerPort: 8080 },
                  { name: 'admin', containerPort: 9000 },
                ],
              }),
            ],
          },
        },
      }),
    ],
  )

test('resolveTarget() finds workload, Service and port when there is one of each', async () => {
  assert.deepEqual(await resolve(aCluster()), {
    containerName: 'web',
    containerPort: 8080,
    containerPortName: 'http',
    protocol: 'TCP',
    serviceName: 'web-app',
    servicePort: 80,
    servicePortName: 'http',
    serviceUid: 'web-app-uid',
    workloadKind: 'Deployment',
    workloadName: 'web-app',
    workloadUid: 'web-app-uid',
  })
})

test('resolveTarget() prefers a Deployment, and obeys the kind that is named', async () => {
  const cluster = aCluster([webService()], [aWorkload({ kind: 'StatefulSet' }), aWorkload()])
  assert.equal((await resolve(cluster)).workloadKind, 'Deployment')
  assert.equal((await resolve(cluster, { workloadKind: 'statefulset' })).workloadKind, 'StatefulSet')
})

for (const identifier of ['admin', '8081', '9000']) {
  test(`resolveTarget() takes the port that "${identifier}" names`, async () => {
    assert.equal((await resolve(twoPorts(), { portIdentifier: identifier })).containerPort, 9000)
  })
}

test('resolveTarget() asks to choose when several ports lead to the workload', async () => {
  const { code, hint } = await refusal(twoPorts())
  assert.equal(code, 'PORT_NOT_FOUND')
  assert.match(hint, /"http" \(80\) of Service "web-app", "admin" \(8081\)/)
})

test('resolveTarget() lists the ports that would work when none has that name', async () => {
  const { code, hint, message } = await refusal(twoPorts(), { portIdentifier: 'grpc' })
  assert.equal(code, 'PORT_NOT_FOUND')
  assert.match(message, /"grpc".*Deployment "web-app".*Service "web-app"/)
  assert.match(hint, /"http" \(80\)/)
})

test('resolveTarget() passes over a headless twin of the Service', async () => {
  const headless = aService('a-headless', [{ name: 'http', port: 80, targetPort: 'http' }], { clusterIP: 'None' })
  assert.equal((await resolve(aCluster([headless, webService()]))).serviceName, 'web-app')
})

test('resolveTarget() prefers the Service that has the name of the workload, else the first by name', async () => {
  const others = [aService('zeta', [{ port: 1, targetPort: 'http' }]), aService('alpha', [{ port: 2, targetPort: 'http' }])]
  assert.equal((await resolve(aCluster([...others, webService()]))).serviceName, 'web-app')
  assert.equal((await resolve(aCluster(others))).serviceName, 'alpha')
  assert.equal((await resolve(aCluster(others), { service: 'zeta' })).serviceName, 'zeta')
})

test('resolveTarget() names near workloads when there is none of that name', async () => {
  const owned = aWorkload({ kind: 'ReplicaSet', name: 'web-app-5c58', owner: { kind: 'Deployment', name: 'web-app' } })
  const { code, hint } = await refusal(aCluster([], [aWorkload(), owned, aWorkload({ name: 'store' })]), { workload: 'web-ap' })
  assert.equal(code, 'WORKLOAD_NOT_FOUND')
  assert.equal(hint, 'Did you mean "web-app"? Workloads of the namespace: store, web-app')
})

test('resolveTarget() says when the namespace is empty', async () => {
  assert.match((await refusal(aCluster([], []))).hint, /no workloads/)
})

test('resolveTarget() names the Deployment when its ReplicaSet is asked for', async () => {
  const owned = aWorkload({ kind: 'ReplicaSet', name: 'web-app-5c58', owner: { kind: 'Deployment', name: 'web-app' } })
  const { code, hint } = await refusal(aCluster([webService()], [owned]), { workload: 'web-app-5c58' })
  assert.equal(code, 'WORKLOAD_NOT_FOUND')
  assert.match(hint, /"web-app"/)
})

test('resolveTarget() gives the command that makes a Service when there is none', async () => {
  const { code, hint } = await refusal(aCluster([]))
  assert.equal(code, 'SERVICE_NOT_FOUND')
  assert.match(hint, /kubectl -n shop expose deployment web-app --port=8080 --target-port=http/)
})

test('resolveTarget() tells a Service that does not exist from one that leads elsewhere', async () => {
  const cluster = aCluster([webService(), aService('other', [], { selector: { app: 'other' } })])
  const missing = await refusal(cluster, { service: 'nope' })
  assert.deepEqual([missing.code, missing.hint], ['SERVICE_NOT_FOUND', 'Services that lead to it: --service web-app'])
  assert.match(missing.message, /has no Service "nope"/)
  assert.match((await refusal(cluster, { service: 'other' })).message, /"other" does not lead to/)
})

for (const [title, service, message, hint] of [
  ['numeric', aService('web-app', [{ port: 80, targetPort: 8080 }]), /number 8080/, /"path":"\/spec\/ports\/0\/targetPort","value":"http"/],
  ['absent', aService('web-app', [{ port: 7001 }]), /number 7001/, /Give container port 7001 a name/],
  ['headless', aService('web-app', [{ port: 80, targetPort: 'http' }], { clusterIP: 'None' }), /headless/, /cluster IP/],
  ['of UDP', aService('web-app', [{ port: 80, protocol: 'UDP', targetPort: 'http' }]), /UDP/, /TCP ports only/],
  ['a name that no container has', aService('web-app', [{ port: 80, targetPort: 'web' }]), /no container.*"web"/, /Name the port/],
] as const) {
  test(`resolveTarget() refuses with what to do when the targetPort is ${title}`, async () => {
    const refused = await refusal(aCluster([service]))
    assert.equal(refused.code, 'PORT_NOT_SUPPORTED')
    assert.match(refused.message, message)
    assert.match(refused.hint, hint)
  })
}

test('resolveTarget() says that none can be taken over when several ports are all numeric', async () => {
  const cluster = aCluster([
    aService('web-app', [
      { name: 'a', port: 1 },
      { name: 'b', port: 2 },
    ]),
  ])
  assert.equal((await refusal(cluster)).code, 'PORT_NOT_SUPPORTED')
})

test('resolveTarget() refuses Pods on the host network', async () => {
  const template = { metadata: { labels: { app: 'web-app' } }, spec: { containers: [aContainer()], hostNetwork: true } }
  const { code, message } = await refusal(aCluster([webService()], [aWorkload({ template })]))
  assert.equal(code, 'PORT_NOT_SUPPORTED')
  assert.match(message, /host network/)
})
