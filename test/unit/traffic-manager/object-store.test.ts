import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { silentLogger } from '../../../src/base/logger.ts'
import { type KubernetesObject, ObjectStore } from '../../../src/traffic-manager/object-store.ts'
import { fakeKubernetes } from './fake-kubernetes.ts'
import { eventually } from './manager-fixture.ts'

type Thing = KubernetesObject & { size?: number }
const thing = (name: string, size = 1, resourceVersion = '1'): Thing => ({ metadata: { name, resourceVersion }, size })

function openStore(kubernetes: ReturnType<typeof fakeKubernetes>) {
  let changes = 0
  const store = new ObjectStore<Thing, string>({
    kubernetes,
    logger: silentLogger(),
    onChange: () => changes++,
    path: '/things',
    project: ({ metadata, size }) => (size === 0 ? undefined : `${metadata.name}=${size}`),
  })
  return { changes: () => changes, store, [Symbol.dispose]: () => store.close() }
}

describe('ObjectStore', () => {
  it('lists page by page, then follows the watch from the version of the list', async () => {
    const kubernetes = fakeKubernetes({
      '/things?limit=500': { items: [thing('a')], metadata: { continue: 'next page', resourceVersion: '7' } },
      '/things?limit=500&continue=next%20page': { items: [thing('b'), thing('hidden', 0)], metadata: { resourceVersion: '7' } },
    })
    using opened = openStore(kubernetes)
    await opened.store.settled
    assert.deepEqual(opened.store.values(), ['a=1', 'b=1'])
    const watch = await eventually(() => kubernetes.watches[0])
    assert.match(watch.path, /^\/things\?watch=true&allowWatchBookmarks=true&timeoutSeconds=\d+&resourceVersion=7$/)
    watch.onEvent({ object: thing('c'), type: 'ADDED' })
    watch.onEvent({ object: thing('a', 2), type: 'MODIFIED' })
    watch.onEvent({ object: thing('b'), type: 'DELETED' })
    assert.deepEqual(opened.store.values(), ['a=2', 'c=1'])
    const before = opened.changes()
    watch.onEvent({ object: thing('a', 2, '8'), type: 'MODIFIED' })
    assert.equal(opened.changes(), before)
  })

  it('goes on from the last version, also of a bookmark, when the server ended the watch', async () => {
    const kubernetes = fakeKubernetes({ '/things?limit=500': { items: [], metadata: { resourceVersion: '7' } } })
    using _ = openStore(kubernetes)
    const first = await eventually(() => kubernetes.watches[0])
    first.onEvent({ object: { metadata: { name: '', resourceVersion: '99' } }, type: 'BOOKMARK' })
    first.end()
    assert.match((await eventually(() => kubernetes.watches[1])).path, /resourceVersion=99$/)
  })

  it('lists again after the watch failed, and forgets what is gone meanwhile', async () => {
    const answers = { '/things?limit=500': { items: [thing('a')], metadata: { resourceVersion: '7' } } }
    const kubernetes = fakeKubernetes(answers)
    using opened = openStore(kubernetes)
    const first = await eventually(() => kubernetes.watches[0])
    answers['/things?limit=500'] = { items: [thing('b')], metadata: { resourceVersion: '20' } }
    first.fail(new Error('connection lost'))
    assert.match((await eventually(() => kubernetes.watches[1])).path, /resourceVersion=20$/)
    assert.deepEqual(opened.store.values(), ['b=1'])
    assert.equal(opened.store.error, undefined)
  })

  it('settles with the error when the list is refused, and keeps trying', async () => {
    const answers: Record<string, unknown> = {}
    const kubernetes = fakeKubernetes(answers)
    using opened = openStore(kubernetes)
    await opened.store.settled
    assert.equal((opened.store.error as { code: number }).code, 404)
    answers['/things?limit=500'] = { items: [thing('a')], metadata: { resourceVersion: '7' } }
    await eventually(() => opened.store.values().length === 1)
  })
})
