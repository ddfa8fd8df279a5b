// The chart's namespaceSelector: a namespace that it leaves out gets no agent and no roll-out, but a word at once.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { execa } from 'execa'
import { ensureManager, quitAll, SAMPLE_IMAGE } from '../helpers/cluster.ts'
import { kubectl, tpx, tpxOk } from '../helpers/tpx.ts'

const NAMESPACE = 'tpx-test-selector'
const connection = ['--use', 'selector']
const template = () =>
  kubectl('get', 'deployment', 'app', '--namespace', NAMESPACE, '--output', 'jsonpath={.metadata.generation} {.spec.template}')

before(async () => {
  await quitAll()
  await ensureManager()
  const metadata = { name: 'app', namespace: NAMESPACE }
  const labels = { app: 'app' }
  const container = {
    args: ['web'],
    image: SAMPLE_IMAGE,
    imagePullPolicy: 'Never',
    name: 'web',
    ports: [{ containerPort: 8080, name: 'http' }],
  }
  const items = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } },
    { apiVersion: 'v1', kind: 'Service', metadata, spec: { ports: [{ port: 80, targetPort: 'http' }], selector: labels } },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata,
      spec: {
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [container], terminationGracePeriodSeconds: 1 } },
      },
    },
  ]
  await execa('test/cluster/cluster', ['kubectl', 'apply', '--filename', '-'], {
    input: JSON.stringify({ apiVersion: 'v1', items, kind: 'List' }),
  })
  await kubectl('rollout', 'status', 'deployment/app', '--namespace', NAMESPACE, '--timeout', '30s')
  await tpxOk(['helm', 'upgrade', '--reset-values', '--set', 'namespaceSelector.matchLabels.team=shop'])
  await tpxOk(['connect', '--name', 'selector', '--namespace', NAMESPACE])
})
after(async () => {
  await quitAll()
  await tpxOk(['helm', 'upgrade', '--reset-values'])
  await kubectl('delete', 'namespace', NAMESPACE, '--wait=false')
})

test('An intercept in a namespace that is not selected is refused at once, and rolls nothing out', async () => {
  const before = await template()
  const began = performance.now()
  const { status, stderr } = await tpx(['intercept', 'app', ...connection])
  assert.ok(performance.now() - began < 5000)
  assert.equal(status, 3, stderr)
  assert.match(stderr, /adds no agents to Pods of namespace "tpx-test-selector" \[NAMESPACE_NOT_SELECTED\]$/m)
  assert.equal(await template(), before)
})

test('With the label that is asked for, the same intercept works', async () => {
  await kubectl('label', 'namespace', NAMESPACE, 'team=shop')
  const { json } = await tpxOk(['intercept', 'app', ...connection, '--output', 'json'])
  assert.equal((json as { state: string }).state, 'active')
})
