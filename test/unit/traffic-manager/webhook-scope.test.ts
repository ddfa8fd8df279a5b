import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadChart, renderChart } from '../../../src/kube/chart/chart.ts'
import type { MutatingWebhookConfiguration } from '../../../src/traffic-manager/kubernetes-objects.ts'
import { selects } from '../../../src/traffic-manager/label-selector.ts'
import { webhookScope } from '../../../src/traffic-manager/webhook-scope.ts'
import { fakeKubernetes } from './fake-kubernetes.ts'

const namespace = (name: string, labels = {}) => ({
  [`/api/v1/namespaces/${name}`]: { metadata: { labels: { 'kubernetes.io/metadata.name': name, ...labels } } },
})

test('selects() follows the rules of label selectors', () => {
  const expression = (operator: string, values: string[] = []) => ({ matchExpressions: [{ key: 'a', operator, values }] })
  const cases: [object, Record<string, string>, boolean][] = [
    [{}, {}, true],
    [{ matchLabels: { a: '1' } }, { a: '1' }, true],
    [{ matchLabels: { a: '1' } }, { a: '2' }, false],
    [expression('In', ['1', '2']), { a: '2' }, true],
    [expression('In', ['1']), {}, false],
    [expression('NotIn', ['1']), {}, true],
    [expression('NotIn', ['1']), { a: '1' }, false],
    [expression('Exists'), { a: '' }, true],
    [expression('Exists'), {}, false],
    [expression('DoesNotExist'), {}, true],
    [{ ...expression('Exists'), matchLabels: { b: '1' } }, { a: '1' }, false],
  ]
  for (const [selector, labels, expected] of cases) assert.equal(selects(selector, labels), expected, JSON.stringify([selector, labels]))
})

test('webhookScope() refuses a namespace that the webhook of the chart does not select', async () => {
  const chart = await loadChart('charts/tpx')
  const values = { namespaceSelector: { matchLabels: { team: 'shop' } } }
  const objects = renderChart(chart, values, { name: 'traffic-manager', namespace: 'tpx', service: 'tpx' })
  const configuration = objects.find(({ kind }) => kind === 'MutatingWebhookConfiguration') as unknown as MutatingWebhookConfiguration
  const kubernetes = fakeKubernetes({
    ...namespace('shop', { team: 'shop' }),
    ...namespace('other'),
    ...namespace('kube-system', { team: 'shop' }),
    ...namespace('tpx', { team: 'shop' }),
  })
  const asked: string[] = []
  const webhooks = {
    patchWebhookConfiguration: async () => {},
    readWebhookConfiguration: async (name: string) => {
      asked.push(name)
      return configuration
    },
  }
  const check = webhookScope({ kubernetes, managerNamespace: 'tpx', webhooks })
  await check('shop')
  assert.deepEqual(asked, ['agent-injector-webhook-tpx'])
  for (const name of ['other', 'kube-system', 'tpx'])
    await assert.rejects(check(name), {
      code: 'NAMESPACE_NOT_SELECTED',
      message: `The traffic-manager in namespace "tpx" adds no agents to Pods of namespace "${name}"`,
    })
  await check('unknown')
})
