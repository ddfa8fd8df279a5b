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

test('checkValues() holds a scalar against pattern and limits', () => {
  const schema: Schema = {
    type: 'object',
    properties: { port: { type: 'integer', minimum: 1, maximum: 9 }, text: { type: ['string', 'number'], pattern: '^a+$', minimum: 0 } },
  }
  checkValues({ port: 9, text: 'aa' }, schema)
  checkValues({ port: 1, text: 0 }, schema)
  assert.throws(() => checkValues({ text: 'b' }, schema), { message: 'Value "text" cannot be "b": it must match ^a+$' })
  assert.throws(() => checkValues({ text: -1 }, schema), { message: 'Value "text" cannot be -1: it must be 0 or more' })
  assert.throws(() => checkValues({ port: 10 }, schema), { message: 'Value "port" cannot be 10: it must be 1 or more, 9 at most' })
})

test('checkValues() refuses a schema that says more than it understands', () => {
  assert.throws(() => checkValues({}, { format: 'x' } as Schema), /uses "format"/)
  assert.throws(() => checkValues({}, { $ref: '#/definitions/x' }), /has no "#\/definitions\/x"/)
})
