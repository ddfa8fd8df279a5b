import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { EmptySchema } from '@bufbuild/protobuf/wkt'
import { silentLogger } from '../../../src/base/logger.ts'
import { ClientConfigSource } from '../../../src/traffic-manager/client-config-source.ts'
import { ClusterInfoSource } from '../../../src/traffic-manager/cluster-info.ts'
import { fakeKubernetes } from './fake-kubernetes.ts'
import { eventually, startManager } from './manager-fixture.ts'

const PATH = '/api/v1/namespaces/tpx/configmaps?limit=500&fieldSelector=metadata.name%3Dtraffic-manager'
const configMap = (yaml: string) => ({ data: { 'client.yaml': yaml }, metadata: { name: 'traffic-manager', namespace: 'tpx' } })
const list = (items: unknown[]) => ({ items, metadata: { resourceVersion: '1' } })
const facts = { clusterDomain: 'cluster.local', injectorAddress: undefined, namespace: 'tpx', podIp: '10.244.1.5' }

test('ClientConfigSource hands out the ConfigMap word by word, and follows it', async (t) => {
  const first = 'dns: {includeSuffixes: [.corp]}\ngrpc: {maxReceiveSize: 4Mi}\n'
  const kubernetes = fakeKubernetes({
    [PATH]: list([configMap(first)]),
    '/api/v1/nodes?limit=500': list([]),
    '/api/v1/pods?limit=500': list([]),
  })
  const source = new ClientConfigSource(kubernetes, 'tpx', silentLogger())
  t.after(() => source.close())
  await using manager = await startManager({ clientConfig: source })
  const read = async (): Promise<string> => Buffer.from((await manager.client.getClientConfig(create(EmptySchema))).configYaml).toString()
  assert.equal(await read(), first)
  assert.deepEqual(source.config, { dns: { includeSuffixes: ['.corp'] } })

  const info = new ClusterInfoSource(facts, source, { kubernetes, logger: silentLogger() })
  t.after(() => info.close())
  let told = 0
  info.changes.subscribe(() => told++)
  assert.deepEqual(info.snapshot().dns!.includeSuffixes, ['.corp'])
  const watch = await eventually(() => kubernetes.watches.find(({ path }) => path.includes('/configmaps?')))
  assert.match(watch.path, /&fieldSelector=metadata\.name%3Dtraffic-manager$/)
  watch.onEvent({ object: configMap('routing: {neverProxySubnets: [10.7.0.0/16]}'), type: 'MODIFIED' })
  assert.equal(await read(), 'routing: {neverProxySubnets: [10.7.0.0/16]}')
  await eventually(() => told > 0)
  const [never] = info.snapshot().routing!.neverProxySubnets
  assert.deepEqual([[...never!.ip], never!.mask], [[10, 7, 0, 0], 16])
  assert.deepEqual(info.snapshot().dns!.includeSuffixes, [])
})

test('ClientConfigSource is empty where there is no ConfigMap', async (t) => {
  const source = new ClientConfigSource(fakeKubernetes({ [PATH]: list([]) }), 'tpx', silentLogger())
  t.after(() => source.close())
  await source.ready
  assert.deepEqual([source.text, source.config], ['', {}])
})
