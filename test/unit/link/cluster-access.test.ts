import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { ClusterAccess } from '../../../src/link/cluster-access.ts'
import { type FakeApi, fakeApiServer } from '../../fakes/api-server.ts'

const dir = mkdtempSync(join(tmpdir(), 'tpx-access-'))
const echo = createServer((socket) => socket.on('error', () => {}).pipe(socket)).listen(0, '127.0.0.1')
await once(echo, 'listening')
after(() => {
  rmSync(dir, { recursive: true })
  echo.close()
})

const target = { kind: 'svc', name: 'web', namespace: 'ns', port: 80 } as const
const signal = new AbortController().signal
let podName = 'old'

function start(): Promise<FakeApi> {
  const status = { conditions: [{ status: 'True', type: 'Ready' }], phase: 'Running' }
  return fakeApiServer({
    backends: { 8080: (echo.address() as AddressInfo).port },
    objects: {
      '/api/v1/namespaces/ns/pods': () => ({ items: [{ metadata: { name: podName }, spec: { containers: [] }, status }] }),
      '/api/v1/namespaces/ns/services/web': {
        metadata: { name: 'web' },
        spec: { ports: [{ port: 80, targetPort: 8080 }], selector: { app: 'web' } },
      },
      '/version': {},
    },
    pods: [podName],
  })
}

function write(api: FakeApi): string {
  const path = join(dir, 'config')
  writeFileSync(path, api.kubeConfig.exportConfig())
  return path
}

test('ClusterAccess.open() remembers the Pod of a Service, and looks again when it is gone', async () => {
  await using api = await start()
  const access = await ClusterAccess.load({ kubeconfig: write(api) })
  const open = async (): Promise<void> => void (await access.open(target, signal)).destroy()
  await open()
  await open()
  assert.equal(api.requests.length, 2)
  podName = 'new'
  api.options.pods = ['new']
  await open()
  assert.equal(api.requests.length, 4)
  assert.equal(access.transport, 'spdy')
})

test('ClusterAccess.open() reads the kubeconfig again when its credentials are refused', async () => {
  await using stale = await start()
  stale.options.statuses = { '/api/v1/namespaces/ns/services/web': 401, '/version': 401 }
  const access = await ClusterAccess.load({ kubeconfig: write(stale) })
  await assert.rejects(access.open(target, signal), { code: 'KUBERNETES_UNAUTHORIZED' })
  await assert.rejects(access.probe(), { code: 'KUBERNETES_UNAUTHORIZED' })
  await using fresh = await start()
  write(fresh)
  ;(await access.open(target, signal)).destroy()
  await access.probe()
  assert.equal(access.facts(undefined).server, fresh.server)
})
