import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseTimeout } from '../../../src/cli/helm-flags.ts'

test('parseTimeout() gives milliseconds', () => {
  assert.deepEqual(['90', '2m', '500ms', undefined].map(parseTimeout), [90_000, 120_000, 500, undefined])
})

test('parseTimeout() refuses anything else', () => {
  assert.throws(() => parseTimeout('1 s'), { code: 'USAGE', message: '"1 s" is no duration' })
})
