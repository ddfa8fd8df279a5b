import assert from 'node:assert/strict'
import { test } from 'node:test'
import { routingConfig } from '../../../src/cli/routing-flags.ts'

test('routingConfig() turns flags into settings, normalized', () => {
  assert.deepEqual(routingConfig({}), {})
  assert.deepEqual(
    routingConfig({
      'allow-conflicting-subnets': ['10.96.0.0/12'],
      'also-proxy': ['10.20.3.4/16', 'fd00::1/64'],
      'never-proxy': ['10.20.5.0/24'],
      'proxy-via': ['10.30.0.0/16=db', 'also=edge-proxy'],
      vnat: ['all', '10.244.0.0/16'],
    }),
    {
      routing: {
        allowConflictingSubnets: ['10.96.0.0/12'],
        alsoProxySubnets: ['10.20.0.0/16', 'fd00::/64'],
        neverProxySubnets: ['10.20.5.0/24'],
        proxyVia: [
          { cidr: '10.30.0.0/16', workload: 'db' },
          { cidr: 'also', workload: 'edge-proxy' },
        ],
        vnat: ['all', '10.244.0.0/16'],
      },
    },
  )
})

for (const [flag, value, hint] of [
  ['also-proxy', '10.0.0.0', /10\.0\.0\.0\/32/],
  ['also-proxy', 'all', /10\.20\.0\.0\/16/],
  ['never-proxy', '10.0.0.0/33', /never-proxy/],
  ['allow-conflicting-subnets', 'web-app', /allow-conflicting/],
  ['vnat', 'everything', /vnat/],
  ['proxy-via', '10.0.0.0/8', /=web-app/],
  ['proxy-via', '10.0.0.0/8=', /=web-app/],
  ['proxy-via', '10.0.0.0/8=Not A Name', /=web-app/],
  ['proxy-via', 'nonsense=db', /proxy-via/],
] as const)
  test(`routingConfig() refuses --${flag} ${value} and says what to write`, () => {
    assert.throws(
      () => routingConfig({ [flag]: [value] }),
      (error: { code: string; hint: string; message: string }) =>
        error.code === 'USAGE' && error.message.includes(`--${flag}`) && hint.test(error.hint),
    )
  })
