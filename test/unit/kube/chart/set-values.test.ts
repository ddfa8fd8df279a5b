import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ChartMap } from '../../../../src/kube/chart/chart-value.ts'
import { setValues } from '../../../../src/kube/chart/set-values.ts'

function set(text: string, asStrings = false, values: ChartMap = {}): ChartMap {
  setValues(values, text, asStrings)
  return values
}

test('setValues() makes maps and lists on the way', () => {
  assert.deepEqual(set('a.b=c,a.d=e'), { a: { b: 'c', d: 'e' } })
  assert.deepEqual(set('a[1].b=x'), { a: [null, { b: 'x' }] })
  assert.deepEqual(set('a={x,y,1}'), { a: ['x', 'y', 1] })
  assert.deepEqual(set('a={}'), { a: [] })
  assert.deepEqual(set('a[0]=x', false, { a: ['y', 'z'] }), { a: ['x', 'z'] })
})

test('setValues() makes booleans, null and whole numbers, unless all shall be strings', () => {
  assert.deepEqual(set('a=true,b=12,c=null,d=1.5,e=012,f=0,g='), { a: true, b: 12, c: null, d: '1.5', e: '012', f: 0, g: '' })
  assert.deepEqual(set('a=true,b=12,c={1,2}', true), { a: 'true', b: '12', c: ['1', '2'] })
})

test('setValues() takes what stands behind a backslash as it is', () => {
  assert.deepEqual(set(String.raw`a\.b=c\,d,e=f`), { 'a.b': 'c,d', e: 'f' })
  assert.deepEqual(set('a=b=c'), { a: 'b=c' })
})

test('setValues() refuses what is no assignment', () => {
  for (const text of ['a', '=b', 'a..b=c', 'a[x]=1', '[0]=a', 'a[9999]=x', ''])
    assert.throws(() => set(text), { code: 'CHART_INVALID' }, text)
  assert.throws(() => set('a.b=1', false, { a: ['x'] }), /"a" is a list/)
})
