/** A value of a chart: what YAML and JSON can say. */
export type ChartValue = boolean | number | string | null | ChartValue[] | ChartMap
/** @see ChartValue */
export type ChartMap = { [key: string]: ChartValue }

/** Tells a map from a list, null and scalars. */
export function isMap(value: unknown): value is ChartMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The name of a value's type, in JSON schema's words. */
export function typeOf(value: ChartValue): 'array' | 'boolean' | 'integer' | 'null' | 'number' | 'object' | 'string' {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number'
  return typeof value as 'boolean' | 'object' | 'string'
}
