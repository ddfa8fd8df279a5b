import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLogger } from '../../../src/base/logger.ts'
import { ClientSettings } from '../../../src/tunnel/client-settings.ts'
import { clientConfigOf } from '../../../src/tunnel/cluster-view.ts'
import { create } from '@bufbuild/protobuf'
import { ClusterInfoSchema } from '../../../src/wire/generated/manager_pb.ts'
import { FakeManager } from './fake-manager.ts'
import { eventually, isUp, startFixture } from './tunnel-fixture.ts'

const logger = silentLogger()

test('ClientSettings lays the manager’s values beneath the client’s, and tells only of changes', () => {
  const settings = new ClientSettings({ dns: { excludes: ['mine'] }, routing: { neverProxySubnets: ['10.1.0.0/16'] } })
  let changes = 0
  settings.onChange(() => void changes++)
  settings.setManagerText('dns: {excludes: [theirs], lookupTimeout: 8s}\nrouting: {neverProxySubnets: [10.2.0.0/16]}', logger)
  assert.deepEqual(settings.value, {
    dns: { excludes: ['mine'], lookupTimeout: 8000 },
    routing: { neverProxySubnets: ['10.1.0.0/16', '10.2.0.0/16'] },
  })
  settings.setManagerText('dns: {excludes: [others], lookupTimeout: 8s}\nrouting: {neverProxySubnets: [10.2.0.0/16]}', logger)
  assert.equal(changes, 1, 'what the client overrules is no change')
  settings.setManagerText('', logger)
  assert.deepEqual(settings.value, { dns: { excludes: ['mine'] }, routing: { neverProxySubnets: ['10.1.0.0/16'] } })
  assert.equal(changes, 2)
})

test('ClientSettings takes routing from ClusterInfo where GetClientConfig says nothing', () => {
  const info = create(ClusterInfoSchema, { routing: { alsoProxySubnets: [{ ip: Buffer.of(10, 3, 0, 0), mask: 16 }] } })
  const settings = new ClientSettings({})
  settings.setClusterInfo(clientConfigOf(info))
  assert.deepEqual(settings.value.routing, { alsoProxySubnets: ['10.3.0.0/16'] })
  settings.setManagerText('routing: {alsoProxySubnets: [10.4.0.0/16]}', logger)
  assert.deepEqual(settings.value.routing, { alsoProxySubnets: ['10.4.0.0/16'] })
  assert.deepEqual(clientConfigOf(create(ClusterInfoSchema)), {})
  assert.deepEqual(clientConfigOf(create(ClusterInfoSchema, { dns: { excludeSuffixes: ['.com'] } })), {
    dns: { excludeSuffixes: ['.com'] },
  })
})

test('ManagerSession has read the manager’s client configuration when it is up, and reads it again', { timeout: 20_000 }, async (t) => {
  const manager = await new FakeManager().start()
  manager.clientConfig = 'timeouts: {intercept: 5s}'
  const fixture = await startFixture(t, { clientConfig: { dns: { excludes: ['mine'] } }, manager })
  await eventually('up', () => isUp(fixture))
  assert.deepEqual(fixture.clientSettings.value, { dns: { excludes: ['mine'] }, timeouts: { intercept: 5000 } })
  manager.clientConfig = 'timeouts: {intercept: 6s}'
  await eventually('read again', () => fixture.clientSettings.value.timeouts?.intercept === 6000, 15_000)
})

test('ManagerSession goes without a client configuration where the manager has none', async (t) => {
  const manager = await new FakeManager().start()
  manager.clientConfig = null
  const fixture = await startFixture(t, { manager })
  await eventually('up', () => isUp(fixture))
  assert.deepEqual(fixture.clientSettings.value, {})
})

test('An attachment without a port arrives at intercept.defaultPort', async (t) => {
  const fixture = await startFixture(t, { clientConfig: { intercept: { defaultPort: 4711 } } })
  await eventually('up', () => isUp(fixture))
  const params = {
    kind: 'intercept' as const,
    localPort: null,
    mount: false,
    name: 'web',
    portIdentifier: null,
    service: null,
    workload: 'web-app',
  }
  void fixture.attachments.attach(params, () => {}).catch(() => {})
  await eventually('created', () => fixture.manager.intercepts.length === 1)
  assert.equal(fixture.manager.intercepts[0]!.spec!.targetPort, 4711)
})
