import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatDuration, parseDuration } from '../../../src/base/duration.ts'

test('parseDuration() reads what Go writes, and plain seconds', () => {
  const cases: [string, number][] = [
    ['30s', 30_000],
    ['1m30s', 90_000],
    ['500ms', 500],
    ['1.5h', 5_400_000],
    ['1h0m0s', 3_600_000],
    ['250us', 0.25],
    ['0s', 0],
    ['90', 90_000],
    ['0.5', 500],
  ]
  for (const [text, ms] of cases) assert.equal(parseDuration(text), ms, text)
})

test('parseDuration() refuses anything else', () => {
  for (const text of ['', 's', '-1s', '1 s', '1d', '30s1', '1.s', '1e3', '∞']) assert.equal(parseDuration(text), undefined, text)
})

test('formatDuration() writes what parseDuration() reads', () => {
  const cases: [number, string][] = [
    [0, '0ms'],
    [500, '500ms'],
    [1500, '1.5s'],
    [90_000, '1m30s'],
    [3_600_000, '1h'],
    [3_660_000, '1h1m'],
  ]
  for (const [ms, text] of cases) {
    assert.equal(formatDuration(ms), text)
    assert.equal(parseDuration(text), ms)
  }
})
