import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ChartMap } from '../../../../src/kube/chart/chart-value.ts'
import { checkValues, type Schema } from '../../../../src/kube/chart/schema.ts'

const schema: Schema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    image: {
      type: 'object',
      additionalProperties: false,
      required: ['name'],
      properties: { name: { type: 'string', minLength: 1 }, tag: { type: 'string' } },
    },
    level: { type: 'string', enum: ['debug', 'info'] },
    limits: { $ref: '#/definitions/quantities' },
    list: { type: 'array', items: { type: 'integer' } },
  },
  definitions: { quantities: { type: 'object', additionalProperties: { type: ['string', 'integer'] } } },
}

test('checkValues() takes what the schema takes', () => {
  checkValues({ image: { name: 'a' }, level: 'info', limits: { cpu: 1, memory: '1Gi' }, list: [1, 2] }, schema)
})

test('checkValues() names an unknown key, the nearest known one, and all', () => {
  assert.throws(() => checkValues({ image: { name: 'a', tga: 'b' } }, schema), {
    code: 'CHART_INVALID',
    hint: 'Did you mean "image.tag"? Keys of "image": name, tag',
    message: 'There is no value "image.tga"',
  })
})

test('checkValues() names the value whose type or choice is wrong', () => {
  const cases: [ChartMap, RegExp][] = [
    [{ level: 'loud' }, /^Value "level" cannot be "loud"$/],
    [{ image: { name: 'a', tag: 1 } }, /^Value "image.tag" must be of the type string, not integer$/],
    [{ list: [1, 'x'] }, /^Value "list\[1\]" must be of the type integer, not string$/],
    [{ limits: { cpu: 1.5 } }, /^Value "limits.cpu" must be of the type string or integer, not number$/],
    [{ image: {} }, /^Value "image.name" is missing$/],
    [{ image: { name: '' } }, /^Value "image.name" must not be empty$/],
    [{ image: 'web', level: 'x' }, /^Value "image" must be of the type object, not string \(and 1 more\)$/],
  ]
  for (const [values, message] of cases) assert.throws(() => checkValues(values, schema), { message })
})

test('checkValues() refuses a schema that says more than it understands', () => {
  assert.throws(() => checkValues({}, { pattern: 'x' } as Schema), /uses "pattern"/)
  assert.throws(() => checkValues({}, { $ref: '#/definitions/x' }), /has no "#\/definitions\/x"/)
})
