import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type KubernetesObject, loadChart, renderChart } from '../../../../src/kube/chart/chart.ts'
import { completeValues, mergeValues, userValues } from '../../../../src/kube/chart/values.ts'
import { sortForDelete } from '../../../../src/kube/object-path.ts'
import {
  AGENT_CONTAINER,
  MANAGER_AGENT_PORT,
  MANAGER_API_PORT,
  MANAGER_API_PORT_NAME,
  MANAGER_SERVICE,
  MANAGER_WEBHOOK_PORT,
} from '../../../../src/wire/versions.ts'

const chart = await loadChart('charts/tpx')
const release = { name: 'traffic-manager', namespace: 'shop', service: 'tpx' }
const render = (values = {}): KubernetesObject[] => renderChart(chart, values, release)
const find = (objects: KubernetesObject[], kind: string, name: string): Record<string, unknown> | undefined =>
  objects.find((object) => object.kind === kind && object.metadata.name === name)

test('renderChart() makes the objects that the programs look for', () => {
  const objects = render()
  const deployment = JSON.stringify(find(objects, 'Deployment', MANAGER_SERVICE))
  for (const port of [MANAGER_API_PORT, MANAGER_AGENT_PORT, MANAGER_WEBHOOK_PORT]) assert.ok(deployment.includes(`"containerPort":${port}`))
  const service = find(objects, 'Service', MANAGER_SERVICE) as { spec: { ports: { name: string; port: number }[] } }
  assert.ok(service.spec.ports.some(({ name, port }) => name === MANAGER_API_PORT_NAME && port === MANAGER_API_PORT))
  assert.ok(find(objects, 'MutatingWebhookConfiguration', 'agent-injector-webhook-shop'))
  assert.equal(AGENT_CONTAINER, 'traffic-agent')
})

test('renderChart() leaves to the manager what it fills at run time', () => {
  const objects = render()
  assert.ok(!('data' in (find(objects, 'Secret', 'mutator-webhook-tls') ?? {})))
  assert.ok(!JSON.stringify(objects).includes('caBundle'))
})

test('renderChart() grants no wildcard, no list of Secrets and no exec', () => {
  const values = { clientRbac: { create: true, namespaces: ['a'], subjects: [{ kind: 'Group', name: 'dev' }] } }
  for (const object of [...render(), ...render(values)]) {
    const rules = (object['rules'] ?? []) as { resources: string[]; verbs: string[] }[]
    for (const { resources, verbs } of rules) {
      assert.ok(![...resources, ...verbs].includes('*'))
      assert.ok(!resources.includes('pods/exec'))
      if (resources.includes('secrets')) assert.deepEqual(verbs, ['get', 'update'])
    }
  }
})

test('renderChart() labels every object, and puts the webhook before the Deployment', () => {
  const objects = render()
  for (const { metadata } of objects) {
    const labels = metadata['labels'] as Record<string, string>
    for (const key of ['name', 'instance', 'version', 'managed-by', 'component']) assert.ok(labels[`app.kubernetes.io/${key}`], key)
    assert.equal(labels['app.kubernetes.io/part-of'], 'tpx')
    assert.equal(labels['tpx.dev/manager-namespace'], 'shop')
  }

  assert.deepEqual(
    objects.slice(-2).map(({ kind }) => kind),
    ['MutatingWebhookConfiguration', 'Deployment'],
  )
  assert.equal(sortForDelete(objects)[0]?.kind, 'MutatingWebhookConfiguration')
})

test('renderChart() makes the image names from their parts', () => {
  const imageOf = (values: object): string[] => {
    const text = JSON.stringify(find(render(values), 'Deployment', MANAGER_SERVICE))
    return [/"image":"([^"]*)"/.exec(text)?.[1] ?? '', /"AGENT_IMAGE","value":"([^"]*)"/.exec(text)?.[1] ?? '']
  }
  assert.deepEqual(imageOf({}), [`tpx/traffic:${chart.appVersion}`, `tpx/traffic:${chart.appVersion}`])
  assert.deepEqual(imageOf({ agent: { image: { tag: '2' } }, image: { registry: 'r/x', tag: '1' } }), [
    'r/x/tpx/traffic:1',
    'r/x/tpx/traffic:2',
  ])
})

test('renderChart() refuses client permissions for nobody', () => {
  assert.throws(() => render({ clientRbac: { create: true } }), /clientRbac.subjects names nobody/)
})

test('userValues() lays files, --set and --set-string on the values of before', async () => {
  const flags = { files: [], set: ['image.tag=1.2', 'logLevel=debug'], setString: ['image.tag=3'] }
  assert.deepEqual(await userValues(flags, { image: { registry: 'r' }, logLevel: 'warn' }), {
    image: { registry: 'r', tag: '3' },
    logLevel: 'debug',
  })
  await assert.rejects(userValues({ ...flags, files: ['/no/such.yaml'] }), { code: 'CHART_INVALID', message: /cannot be read: ENOENT/ })
})

test('mergeValues() merges maps and replaces lists; completeValues() lets a null take a default away', () => {
  assert.deepEqual(mergeValues({ a: { b: 1, c: [1, 2] } }, { a: { c: [3] } }), { a: { b: 1, c: [3] } })
  assert.deepEqual(completeValues({ a: { b: 1, c: 2 } }, { a: { b: null } }), { a: { c: 2 } })
})
