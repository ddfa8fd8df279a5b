import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { closestTo, editDistance } from '../../../src/kube/closest-name.ts'

test('closestTo() finds a typing error, a beginning, or nothing', () => {
  assert.equal(closestTo('defualt', ['default', 'kube-system']), 'default')
  assert.equal(closestTo('web', ['store', 'web-app']), 'web-app')
  assert.equal(closestTo('production', ['default', 'kube-system']), undefined)
  assert.equal(closestTo('x', []), undefined)
})

test('editDistance() is a metric: zero only for the same, symmetric, never more than the longer name', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (a, b) => {
      const distance = editDistance(a, b)
      assert.equal(distance === 0, a === b)
      assert.equal(distance, editDistance(b, a))
      assert.ok(distance <= Math.max(a.length, b.length))
    }),
  )
})
