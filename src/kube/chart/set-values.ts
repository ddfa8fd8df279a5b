import { TpxError } from '../../base/error.ts'
import { type ChartMap, type ChartValue, isMap } from './chart-value.ts'

/** Where `--set` puts a value: names of maps and indices of lists. */
type Step = number | string

const MAX_INDEX = 1000

/**
 * Puts what `--set` says into `values`, as Helm does: `a.b=c`, `a[0].b=x`, `a={x,y}`, several with commas, `\` before a
 * character that is meant as it is. true, false, null and whole numbers are no strings; with `asStrings` (`--set-string`)
 * everything but lists is one. null takes a default away. One difference: `a={}` is the empty list, not a list of one empty text.
 * @throws TpxError CHART_INVALID
 */
export function setValues(values: ChartMap, text: string, asStrings = false): void {
  for (const assignment of split(text, ',', '{}')) {
    const [key, ...rest] = split(assignment, '=')
    const value = rest.length ? assignment.slice((key ?? '').length + 1) : undefined
    if (!key || value === undefined) throw invalid(text, `"${assignment}" has no "KEY=VALUE"`)
    const steps = stepsOf(key, text)
    put(values, steps, valueOf(value, asStrings), text)
  }
}

/** Splits at unescaped separators that are not inside the given braces; backslashes stay. */
function split(text: string, separator: string, braces = ''): string[] {
  const parts = ['']
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!
    const isEscape = character === '\\' && at + 1 < text.length
    if (character === separator && depth === 0) {
      parts.push('')
      continue
    }

    if (character === braces[0]) depth++
    if (character === braces[1]) depth--
    parts[parts.length - 1] += isEscape ? character + text[++at]! : character
  }

  return parts
}

function unescape(text: string): string {
  return text.replaceAll(/\\([\s\S])/g, '$1')
}

function stepsOf(key: string, text: string): Step[] {
  return split(key, '.').flatMap((part): Step[] => {
    const match = /^((?:[^\\[]|\\[\s\S])*)((?:\[\d+\])*)$/.exec(part)
    if (!match?.[1]) throw invalid(text, `"${key}" is no path of a value`)
    const indices = [...(match[2] ?? '').matchAll(/\d+/g)].map(Number)
    if (indices.some((index) => index > MAX_INDEX)) throw invalid(text, `an index is larger than ${MAX_INDEX}`)
    return [unescape(match[1]), ...indices]
  })
}

function valueOf(text: string, asStrings: boolean): ChartValue {
  const list = /^\{([\s\S]*)\}$/.exec(text)
  if (list) return list[1] === '' ? [] : split(list[1]!, ',').map((item) => scalarOf(unescape(item), asStrings))
  return scalarOf(unescape(text), asStrings)
}

/** Helm: a whole number without leading zeros is a number; fractions stay strings. */
function scalarOf(text: string, asStrings: boolean): ChartValue {
  if (asStrings) return text
  if (text === 'true' || text === 'false') return text === 'true'
  if (text === 'null') return null
  return /^(0|[+-]?[1-9]\d*)$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : text
}

function put(values: ChartMap, steps: Step[], value: ChartValue, text: string): void {
  let at: ChartMap | ChartValue[] = values
  for (const [index, step] of steps.entries()) {
    const next = steps[index + 1]
    if (Array.isArray(at) !== (typeof step === 'number'))
      throw invalid(text, `"${steps.slice(0, index).join('.')}" is ${Array.isArray(at) ? 'a list' : 'no list'}`)
    const container = at as Record<Step, ChartValue>
    if (Array.isArray(at)) while (at.length < Number(step)) at.push(null)
    if (next === undefined) {
      container[step] = value
      return
    }

    const isList = typeof next === 'number'
    const known: ChartValue = Object.hasOwn(container, step) ? (container[step] ?? null) : null
    const inner: ChartMap | ChartValue[] = Array.isArray(known) || isMap(known) ? known : isList ? [] : {}
    container[step] = inner
    at = inner
  }
}

function invalid(text: string, reason: string): TpxError {
  return new TpxError('CHART_INVALID', `--set "${text}" is not valid: ${reason}`, {
    hint: 'Examples: --set image.tag=1.2 --set "imagePullSecrets[0].name=mine" --set "list={a,b}"; put "\\" before a "," or "." of a value or name',
  })
}
