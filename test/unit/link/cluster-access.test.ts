import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { parse, stringify } from 'yaml'
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

test('ClusterAccess leaves refused credentials alone for a while, and tries again when the kubeconfig changes', async () => {
  await using api = await start()
  const path = write(api)
  const access = await ClusterAccess.load({ kubeconfig: path })
  api.options.statuses = { '/version': 401 }
  await assert.rejects(access.probe(), { code: 'KUBERNETES_UNAUTHORIZED', hint: /^Sign in again/ })
  const { length } = api.requests
  await assert.rejects(access.probe())
  assert.equal(api.requests.length, length, 'nothing is asked in the pause')
  api.options.statuses = {}
  utimesSync(path, new Date(), new Date(Date.now() + 5000))
  await access.probe()
})

test('ClusterAccess tries again when a token file of the kubeconfig changes', async () => {
  await using api = await start()
  const path = write(api)
  const token = join(dir, 'token')
  writeFileSync(token, 'one')
  const config = parse(readFileSync(path, 'utf8')) as { users: { user: object }[] }
  for (const entry of config.users) entry.user = { tokenFile: token }
  writeFileSync(path, stringify(config))
  const access = await ClusterAccess.load({ kubeconfig: path })
  api.options.statuses = { '/version': 401 }
  await assert.rejects(access.probe())
  api.options.statuses = {}
  await assert.rejects(access.probe(), 'the pause')
  utimesSync(token, new Date(), new Date(Date.now() + 5000))
  await access.probe()
})

test('ClusterAccess asks again at once when the user did something', async () => {
  await using api = await start()
  const access = await ClusterAccess.load({ kubeconfig: write(api) })
  api.options.statuses = { '/version': 401 }
  await assert.rejects(access.probe())
  api.options.statuses = {}
  await assert.rejects(access.probe())
  access.retryCredentials()
  await access.probe()
})

test('ClusterAccess runs a plugin that fails once, not for everybody who asks', async () => {
  await using api = await start()
  const [calls, command] = [join(dir, 'calls'), join(dir, 'plugin')]
  writeFileSync(command, `#!/bin/sh\nprintf x >>${calls}\necho "Token has expired" >&2\nexit 1\n`, { mode: 0o755 })
  const path = write(api)
  const config = parse(readFileSync(path, 'utf8')) as { users: { user: object }[] }
  for (const one of config.users) one.user = { exec: { command } }
  writeFileSync(path, stringify(config))
  const access = await ClusterAccess.load({ kubeconfig: path })
  await assert.rejects(access.open(target, signal), { code: 'CREDENTIAL_PLUGIN_FAILED', message: /Token has expired/ })
  await assert.rejects(access.open(target, signal), { code: 'CREDENTIAL_PLUGIN_FAILED' })
  await assert.rejects(access.probe(), { message: /Token has expired/ })
  assert.equal(readFileSync(calls, 'utf8'), 'x')
})
