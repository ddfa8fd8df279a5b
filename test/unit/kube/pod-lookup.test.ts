import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Pod, Service } from '../../../src/kube/objects.ts'
import { isSelected, readyPods, resolveService, targetPortOf } from '../../../src/kube/pod-lookup.ts'
import { fakeApiServer } from '../../fakes/api-server.ts'

function pod(name: string, created: string, options: { deleted?: boolean; phase?: string; ready?: boolean } = {}): Pod {
  const { deleted = false, phase = 'Running', ready = true } = options
  return {
    metadata: { creationTimestamp: created, labels: { app: 'web' }, name, ...(deleted ? { deletionTimestamp: created } : {}) },
    spec: { containers: [{ name: 'c', ports: [{ containerPort: 8080, name: 'http' }] }] },
    status: { conditions: [{ status: ready ? 'True' : 'False', type: 'Ready' }], phase },
  }
}

const service: Service = {
  metadata: { name: 'web' },
  spec: {
    ports: [{ port: 80, targetPort: 'http' }, { port: 81, targetPort: 9000 }, { port: 82 }, { port: 83, targetPort: 'none' }],
    selector: { app: 'web' },
  },
}

test('readyPods() keeps running, ready, undeleted Pods, oldest first', () => {
  const pods = [
    pod('b', '2026-02'),
    pod('a', '2026-01'),
    pod('c', '2025', { ready: false }),
    pod('d', '2025', { deleted: true }),
    pod('e', '2025', { phase: 'Failed' }),
  ]
  assert.deepEqual(
    readyPods(pods).map(({ metadata }) => metadata.name),
    ['a', 'b'],
  )
})

test('isSelected() needs every pair of the selector', () => {
  assert.equal(isSelected(pod('a', ''), { app: 'web' }), true)
  assert.equal(isSelected(pod('a', ''), { app: 'web', tier: 'x' }), false)
})

test('targetPortOf() knows names, numbers and the default', () => {
  assert.deepEqual(
    [80, 81, 82, 83, 84].map((port) => targetPortOf(service, port, pod('a', ''))),
    [8080, 9000, 82, undefined, undefined],
  )
})

test('resolveService() goes from the Service to a ready Pod and its port', async () => {
  const path = '/api/v1/namespaces/ns'
  await using api = await fakeApiServer({
    objects: {
      [`${path}/services/web`]: service,
      [`${path}/pods`]: (query) => ({ items: query.get('labelSelector') === 'app=web' ? [pod('a', '1')] : [] }),
      [`${path}/services/none`]: { ...service, spec: { ...service.spec, selector: { app: 'none' } } },
      [`${path}/services/external`]: { metadata: { name: 'external' }, spec: {} },
    },
    statuses: { [`${path}/services/secret`]: 403 },
  })
  const resolve = (name: string, port = 80): Promise<object> => resolveService(api.kubeConfig, { name, namespace: 'ns', port })
  assert.deepEqual(await resolve('web'), { namespace: 'ns', pod: 'a', port: 8080 })
  await assert.rejects(resolve('web', 99), { code: 'PORT_NOT_FOUND' })
  await assert.rejects(resolve('absent'), { code: 'SERVICE_NOT_FOUND' })
  await assert.rejects(resolve('none'), { code: 'POD_NOT_FOUND', message: /no ready Pod/ })
  await assert.rejects(resolve('external'), { code: 'POD_NOT_FOUND', message: /selects no Pods/ })
  await assert.rejects(resolve('secret'), { code: 'KUBERNETES_FORBIDDEN' })
})
