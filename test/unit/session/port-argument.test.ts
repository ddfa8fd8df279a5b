import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePortArgument, parseWorkloadArgument } from '../../../src/session/port-argument.ts'

test('parsePortArgument() reads port, port and identifier, or a name', () => {
  assert.deepEqual(parsePortArgument(undefined), { localPort: null, portIdentifier: null })
  assert.deepEqual(parsePortArgument('8080'), { localPort: 8080, portIdentifier: null })
  assert.deepEqual(parsePortArgument('8080:http'), { localPort: 8080, portIdentifier: 'http' })
  assert.deepEqual(parsePortArgument('8080:80'), { localPort: 8080, portIdentifier: '80' })
  assert.deepEqual(parsePortArgument('http'), { localPort: null, portIdentifier: 'http' })
})

for (const text of ['', '0', '70000', '8080:', ':80', '1:2:3', '8080:HTTP', '-1'])
  test(`parsePortArgument() refuses "${text}"`, () => {
    assert.throws(() => parsePortArgument(text), { code: 'USAGE' })
  })

test('parseWorkloadArgument() splits the workload from its port', () => {
  assert.deepEqual(parseWorkloadArgument('web-app'), { localPort: null, portIdentifier: null, workload: 'web-app' })
  assert.deepEqual(parseWorkloadArgument('web-app:3000:http'), { localPort: 3000, portIdentifier: 'http', workload: 'web-app' })
  assert.throws(() => parseWorkloadArgument('Web App'), { code: 'USAGE' })
})
