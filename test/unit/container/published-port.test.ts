import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePublishedPort } from '../../../src/container/published-port.ts'

const cases: [string, [string, string, string][]][] = [
  ['80', [['80/tcp', '', '']]],
  ['8080:80', [['80/tcp', '', '8080']]],
  ['127.0.0.1:8080:80', [['80/tcp', '127.0.0.1', '8080']]],
  ['127.0.0.1::80', [['80/tcp', '127.0.0.1', '']]],
  ['[::1]:8080:80/udp', [['80/udp', '::1', '8080']]],
  [
    '7000-7001:8000-8001',
    [
      ['8000/tcp', '', '7000'],
      ['8001/tcp', '', '7001'],
    ],
  ],
]
for (const [text, expected] of cases)
  test(`parsePublishedPort() reads "${text}"`, () => {
    assert.deepEqual(
      parsePublishedPort(text).map(({ containerPort, hostIp, hostPort }) => [containerPort, hostIp, hostPort]),
      expected,
    )
  })

for (const text of ['', 'x', '80:', '1-2:3', '80/icmp', '70000'])
  test(`parsePublishedPort() refuses "${text}"`, () => {
    assert.throws(() => parsePublishedPort(text), { code: 'USAGE' })
  })
