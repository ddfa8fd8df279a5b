import { type ChartValue, isMap } from './chart-value.ts'
import { formatYaml } from './helm-yaml.ts'

/** A function of the templates; what it throws gets file and line from the caller. */
type TemplateFunction = (...args: ChartValue[]) => ChartValue

/** false, 0, "", nil, and empty lists and maps count as false (text/template, "Actions"). */
export function isTrue(value: ChartValue): boolean {
  if (Array.isArray(value)) return value.length > 0
  return isMap(value) ? Object.keys(value).length > 0 : Boolean(value)
}

/** The functions of Go, Sprig and Helm that the chart uses, and their nearest kin; `include`, `and` and `or` are the evaluator's. */
export const TEMPLATE_FUNCTIONS: Record<string, TemplateFunction> = {
  default: (fallback = null, value = null) => (isTrue(value) ? value : fallback),
  eq: (a = null, b = null) => scalar(a) === scalar(b),
  fail: (message = '') => {
    throw new Error(text(message))
  },
  indent: (width = 0, value = '') => indented(width, value),
  ne: (a = null, b = null) => scalar(a) !== scalar(b),
  nindent: (width = 0, value = '') => `\n${indented(width, value)}`,
  not: (value = null) => !isTrue(value),
  printf: (format = '', ...values) => formatted(text(format), values),
  quote: (value = null) => JSON.stringify(printed(value)),
  toJson: (value = null) => JSON.stringify(sorted(value)),
  toYaml: (value = null) => formatYaml(value),
}

/** A scalar as it is put out; lists, maps and nil have no form of their own here. */
export function printed(value: ChartValue): string {
  if (value === null) throw new Error('there is no value')
  if (typeof value === 'object') throw new Error('a list or map cannot be put out as it is; use toYaml')
  return String(value)
}

function text(value: ChartValue): string {
  if (typeof value !== 'string') throw new Error(`a string is needed, not ${JSON.stringify(value)}`)
  return value
}

function scalar(value: ChartValue): ChartValue {
  if (typeof value === 'object' && value !== null) throw new Error('lists and maps cannot be compared')
  return value
}

function indented(width: ChartValue, value: ChartValue): string {
  if (typeof width !== 'number') throw new Error('the width is no number')
  return text(value).replaceAll(/^/gm, ' '.repeat(width))
}

function formatted(format: string, values: ChartValue[]): string {
  let used = 0
  const result = format.replaceAll(/%(.?)/g, (_, verb: string) => {
    if (verb === '%') return '%'
    if (verb !== 's' && verb !== 'd') throw new Error(`printf knows only %s and %d, not "%${verb}"`)
    if (used >= values.length) throw new Error('printf has more verbs than values')
    return printed(values[used++] ?? null)
  })
  if (used < values.length) throw new Error('printf has more values than verbs')
  return result
}

/** Go's encoder writes keys in alphabetical order. */
function sorted(value: ChartValue): ChartValue {
  if (Array.isArray(value)) return value.map(sorted)
  if (!isMap(value)) return value
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sorted(value[key] ?? null)]),
  )
}
