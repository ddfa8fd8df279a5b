import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { silentLogger } from '../../../src/base/logger.ts'
import { isControlled, stateOf } from '../../../src/traffic-manager/workload-state.ts'
import { WorkloadWatches } from '../../../src/traffic-manager/workload-watch.ts'
import { WorkloadInfo_State as State } from '../../../src/wire/generated/manager_pb.ts'
import { fakeKubernetes } from './fake-kubernetes.ts'
import { eventually } from './manager-fixture.ts'

const metadata = { name: 'w' }
const condition = (type: string, status: string) => ({ status, type })

describe('stateOf()', () => {
  it("follows a Deployment's conditions", () => {
    assert.equal(stateOf({ metadata, status: { conditions: [condition('Available', 'True')] } }), State.AVAILABLE)
    assert.equal(
      stateOf({ metadata, status: { conditions: [condition('Available', 'True'), condition('Progressing', 'False')] } }),
      State.FAILURE,
    )
    assert.equal(
      stateOf({ metadata, status: { conditions: [condition('Available', 'False'), condition('Progressing', 'True')] } }),
      State.PROGRESSING,
    )
  })

  it('counts the replicas of a StatefulSet', () => {
    assert.equal(stateOf({ metadata, spec: { replicas: 2 }, status: { availableReplicas: 2 } }), State.AVAILABLE)
    assert.equal(stateOf({ metadata, spec: { replicas: 2 }, status: { availableReplicas: 1 } }), State.PROGRESSING)
    assert.equal(stateOf({ metadata, spec: { replicas: 0 } }), State.AVAILABLE)
  })

  it('isControlled() tells the ReplicaSet of a Deployment', () => {
    assert.ok(isControlled({ metadata: { ...metadata, ownerReferences: [{ controller: true }] } }))
    assert.ok(!isControlled({ metadata }))
  })
})

describe('WorkloadWatches', () => {
  it('acquire() shares one watch of a namespace and closes it with its last user', async () => {
    const list = { items: [{ metadata: { name: 'web', uid: 'u' } }], metadata: { resourceVersion: '1' } }
    const paths = ['deployments', 'statefulsets', 'replicasets'].map((kind) => `/apis/apps/v1/namespaces/shop/${kind}?limit=500`)
    const kubernetes = fakeKubernetes(Object.fromEntries(paths.map((path) => [path, list])))
    const watches = new WorkloadWatches(kubernetes, silentLogger())
    const [a, b] = [watches.acquire('shop'), watches.acquire('shop')]
    await a.workloads.ready
    assert.equal(a.workloads, b.workloads)
    assert.deepEqual(
      a.workloads.values().map(({ kindName }) => kindName),
      ['Deployment', 'StatefulSet', 'ReplicaSet'],
    )
    await eventually(() => kubernetes.watches.length === 3)
    a.release()
    assert.equal(watches.acquire('shop').workloads, b.workloads)
  })
})
