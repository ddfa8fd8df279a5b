import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseDuration } from '../../../src/cli/helm-flags.ts'

test('parseDuration() knows seconds, minutes and milliseconds', () => {
  assert.deepEqual(['90', '90s', '2m', '1.5s', '500ms'].map(parseDuration), [90_000, 90_000, 120_000, 1500, 500])
})

test('parseDuration() refuses anything else', () => {
  for (const text of ['', 's', '1h', '-1s', '1 s']) assert.throws(() => parseDuration(text), { code: 'USAGE' }, text)
})
