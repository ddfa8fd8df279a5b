import { readFile } from 'node:fs/promises'
import { messageOf, systemCode, TpxError } from '../../base/error.ts'
import { type ChartMap, isMap } from './chart-value.ts'
import { parseYaml } from './helm-yaml.ts'
import { setValues } from './set-values.ts'

/** What the user says about values: `-f` files, then `--set`, then `--set-string`; later ones win. */
export type ValueFlags = { files: string[]; set: string[]; setString: string[] }

/** Lays `over` on `under`: maps are merged, everything else is replaced. */
export function mergeValues(under: ChartMap, over: ChartMap): ChartMap {
  const merged: ChartMap = { ...under }
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key]
    merged[key] = isMap(below) && isMap(value) ? mergeValues(below, value) : value
  }

  return merged
}

/** The chart's defaults under the user's values; a null of the user's takes a default away, as in Helm. */
export function completeValues(defaults: ChartMap, values: ChartMap): ChartMap {
  return withoutNulls(mergeValues(defaults, values))
}

/**
 * The user's own values: `base` (those of the last time), then the flags.
 * @throws TpxError CHART_INVALID
 */
export async function userValues(flags: ValueFlags, base: ChartMap = {}): Promise<ChartMap> {
  let values = base
  for (const file of flags.files) values = mergeValues(values, await readValues(file))
  values = structuredClone(values)
  for (const text of flags.set) setValues(values, text)
  for (const text of flags.setString) setValues(values, text, true)
  return values
}

/** Parses a file of values; an empty one has none. */
export function parseValues(text: string, name: string): ChartMap {
  let values: unknown
  try {
    values = parseYaml(text) ?? {}
  } catch (cause) {
    throw new TpxError('CHART_INVALID', `"${name}" is no YAML: ${messageOf(cause).split('\n', 1)[0]}`, { cause })
  }

  if (!isMap(values)) throw new TpxError('CHART_INVALID', `"${name}" is no map of values`)
  return values
}

async function readValues(file: string): Promise<ChartMap> {
  try {
    return parseValues(await readFile(file === '-' ? '/dev/stdin' : file, 'utf8'), file)
  } catch (cause) {
    if (cause instanceof TpxError) throw cause
    throw new TpxError('CHART_INVALID', `The values file "${file}" cannot be read: ${systemCode(cause) ?? messageOf(cause)}`, { cause })
  }
}

function withoutNulls(values: ChartMap): ChartMap {
  const kept = Object.entries(values).filter(([, value]) => value !== null)
  return Object.fromEntries(kept.map(([key, value]) => [key, isMap(value) ? withoutNulls(value) : value]))
}
