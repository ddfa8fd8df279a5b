import { TpxError } from '../../base/error.ts'
import { closestTo } from '../closest-name.ts'
import { type ChartValue, isMap, typeOf } from './chart-value.ts'

/** The part of JSON Schema (draft 7) that the chart's values.schema.json uses. */
export type Schema = {
  $ref?: string
  additionalProperties?: Schema | boolean
  definitions?: Record<string, Schema>
  enum?: ChartValue[]
  items?: Schema
  maximum?: number
  minimum?: number
  minLength?: number
  pattern?: string
  properties?: Record<string, Schema>
  required?: string[]
  type?: string[] | string
}

const KNOWN = [
  '$ref',
  '$schema',
  'additionalProperties',
  'definitions',
  'description',
  'enum',
  'items',
  'maximum',
  'minimum',
  'minLength',
  'pattern',
  'properties',
  'required',
  'title',
  'type',
]

type Problem = { hint?: string; text: string }

/**
 * Checks values against the chart's schema.
 * @throws TpxError CHART_INVALID that names the value, and the nearest known key for one that is unknown
 */
export function checkValues(values: ChartValue, schema: Schema): void {
  const [first, ...more] = problems(values, schema, '', schema)
  if (!first) return
  const others = more.length ? ` (and ${more.length} more)` : ''
  throw new TpxError('CHART_INVALID', `${first.text}${others}`, {
    hint: first.hint ?? 'The values are explained in charts/tpx/values.yaml',
  })
}

function problems(value: ChartValue, given: Schema, path: string, root: Schema): Problem[] {
  const schema = resolve(given, root)
  const type = typeOf(value)
  const name = path ? `Value "${path}"` : 'The values'
  const types = schema.type === undefined ? [type] : [schema.type].flat()
  if (!types.includes(type) && !(type === 'integer' && types.includes('number'))) {
    return [{ text: `${name} must be of the type ${types.join(' or ')}, not ${type}`, ...hintForType(value, types, path) }]
  }

  if (schema.enum && !schema.enum.includes(value)) {
    const choices = schema.enum.map((choice) => JSON.stringify(choice)).join(', ')
    return [{ text: `${name} cannot be ${JSON.stringify(value)}`, hint: `Choose one of ${choices}` }]
  }

  const outside = typeof value === 'object' ? undefined : problemOfScalar(value, schema)
  if (outside) return [{ text: `${name} ${outside}` }]
  if (Array.isArray(value))
    return value.flatMap((item, index) => (schema.items ? problems(item, schema.items, `${path}[${index}]`, root) : []))
  return isMap(value) ? problemsOfMap(value, schema, path, root) : []
}

function problemOfScalar(value: ChartValue, { maximum, minimum, minLength = 0, pattern }: Schema): string | undefined {
  if (typeof value === 'string') {
    if (value.length < minLength) return 'must not be empty'
    if (pattern !== undefined && !new RegExp(pattern, 'u').test(value))
      return `cannot be ${JSON.stringify(value)}: it must match ${pattern}`
  }
  if (typeof value === 'number' && (value < (minimum ?? -Infinity) || value > (maximum ?? Infinity)))
    return `cannot be ${value}: it must be ${minimum === undefined ? '' : `${minimum} or more`}${maximum === undefined ? '' : `, ${maximum} at most`}`
  return undefined
}

function problemsOfMap(value: Record<string, ChartValue>, schema: Schema, path: string, root: Schema): Problem[] {
  const { additionalProperties = true, properties = {}, required = [] } = schema
  const at = (key: string): string => (path ? `${path}.${key}` : key)
  const missing = required.filter((key) => !Object.hasOwn(value, key)).map((key) => ({ text: `Value "${at(key)}" is missing` }))
  const found = Object.entries(value).flatMap(([key, inner]): Problem[] => {
    const own = Object.hasOwn(properties, key) ? properties[key] : undefined
    if (own) return problems(inner, own, at(key), root)
    if (typeof additionalProperties === 'object') return problems(inner, additionalProperties, at(key), root)
    return additionalProperties ? [] : [unknownKey(at(key), key, Object.keys(properties), path)]
  })
  return [...missing, ...found]
}

function unknownKey(path: string, key: string, known: string[], parent: string): Problem {
  const near = closestTo(key, known)
  const all = `Keys${parent ? ` of "${parent}"` : ''}: ${known.join(', ')}`
  return { text: `There is no value "${path}"`, hint: near ? `Did you mean "${parent ? `${parent}.` : ''}${near}"? ${all}` : all }
}

function hintForType(value: ChartValue, types: string[], path: string): { hint?: string } {
  const isText = types.includes('string') && typeof value !== 'object'
  return isText ? { hint: `Write --set-string ${path}=${String(value)}, or put the value in quotes in a file` } : {}
}

function resolve(schema: Schema, root: Schema): Schema {
  // Strict: a keyword that is not understood would be a check that is silently left out.
  const unknown = Object.keys(schema).find((key) => !KNOWN.includes(key))
  if (unknown) throw new TpxError('CHART_INVALID', `values.schema.json uses "${unknown}", which tpx does not know`)
  if (schema.$ref === undefined) return schema
  const target = root.definitions?.[schema.$ref.replace('#/definitions/', '')]
  if (!target) throw new TpxError('CHART_INVALID', `values.schema.json has no "${schema.$ref}"`)
  return target
}
