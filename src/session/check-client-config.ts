import * as v from 'valibot'
import { TpxError } from '../base/error.ts'
import { closestTo } from '../kube/closest-name.ts'
import type { ClientConfig } from '../wire/client-config.ts'
import { CLIENT_CONFIG_ENTRY_KEYS, CLIENT_CONFIG_KEYS, clientConfigSchema } from '../wire/client-config-schema.ts'
import type { ConfigPath } from './config-document.ts'
import { isTelepresenceOnly } from './telepresence-keys.ts'

/** What is checked, and how to speak of it. */
export type ConfigSource = {
  /** Whether keys that nobody knows are only warned about: the source belongs to another program. */
  isForeign?: boolean
  /** Where a value stands, in words: the beginning of a sentence. */
  place: (path: ConfigPath) => string
  value: unknown
}

type Values = Record<string, unknown>

const isMap = (value: unknown): value is Values => typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * Checks what one source says.
 * @returns the configuration, and a warning for each key of Telepresence's that means nothing to tpx
 * @throws TpxError CONFIG_INVALID that names place, key and what was expected, with the nearest known key
 */
export function checkClientConfig(source: ConfigSource): { config: ClientConfig; warnings: string[] } {
  const { place, value } = source
  if (value === null || value === undefined) return { config: {}, warnings: [] }
  if (!isMap(value)) throw invalid(`${place([])}: the configuration must be a map of sections, not ${shown(value)}`)
  const warnings: string[] = []
  const known: Record<string, unknown> = {}
  for (const [section, values] of Object.entries(value)) {
    if (!isKnown(source, [section], warnings) || values === null) continue
    known[section] = isMap(values)
      ? Object.fromEntries(Object.entries(values).filter(([key, inner]) => isKnown(source, [section, key], warnings) && inner !== null))
      : values
  }
  const result = v.safeParse(clientConfigSchema, known)
  if (result.success) return { config: result.output, warnings }
  throw invalidValue(result.issues, place)
}

function isKnown(source: ConfigSource, [section, key]: [string, string?], warnings: string[]): boolean {
  const keys = Object.hasOwn(CLIENT_CONFIG_KEYS, section) ? CLIENT_CONFIG_KEYS[section] : undefined
  if (key === undefined ? keys : keys?.includes(key)) return true
  const path = key === undefined ? [section] : [section, key]
  const name = path.join('.')
  if (isTelepresenceOnly(section, key)) warnings.push(`${source.place(path)}: "${name}" is Telepresence's and has no effect in tpx`)
  // A section that has keys of both passes, and its keys are looked at one by one.
  else if (source.isForeign) warnings.push(`${source.place(path)}: there is no key "${name}"; it has no effect`)
  else throw unknownKey(source.place(path), section, key)
  return false
}

function unknownKey(place: string, section: string, key: string | undefined): TpxError {
  const sections = Object.keys(CLIENT_CONFIG_KEYS)
  const siblings = key === undefined ? sections : (CLIENT_CONFIG_KEYS[section] ?? [])
  const near = closestTo(key ?? section, siblings)
  const beside = near === undefined ? undefined : key === undefined ? near : `${section}.${near}`
  const suggestion = elsewhere(key ?? section) ?? beside
  const list = `Keys${key === undefined ? '' : ` of "${section}"`}: ${siblings.join(', ')}`
  return invalid(
    `${place}: there is no key "${key === undefined ? section : `${section}.${key}`}"`,
    suggestion ? `Did you mean "${suggestion}"? ${list}` : list,
  )
}

/** A key that only stands in the wrong section. */
function elsewhere(key: string): string | undefined {
  const section = Object.entries(CLIENT_CONFIG_KEYS).find(([, keys]) => keys.includes(key))?.[0]
  return section && `${section}.${key}`
}

function invalidValue(issues: v.BaseIssue<unknown>[], place: ConfigSource['place']): TpxError {
  // A key too many is most often the cause of one too few.
  const issue = issues.find(({ expected }) => expected === 'never') ?? issues[0]!
  const path = (issue.path ?? []).map(({ key }) => key as number | string)
  const name = nameOf(path)
  if (issue.expected === 'never') {
    const keys = CLIENT_CONFIG_ENTRY_KEYS[path.slice(0, 2).join('.')] ?? []
    const near = closestTo(String(path.at(-1)), keys)
    const list = `Keys of "${nameOf(path.slice(0, -1))}": ${keys.join(', ')}`
    return invalid(`${place(path)}: there is no key "${name}"`, near ? `Did you mean "${near}"? ${list}` : list)
  }
  return issue.type === 'strict_object' && issue.input === undefined
    ? invalid(`${place(path.slice(0, -1))}: "${name}" is missing; "${nameOf(path.slice(0, -1))}" must be ${issue.message}`)
    : invalid(`${place(path)}: "${name}" cannot be ${shown(issue.input)}: it must be ${issue.message}`)
}

/** As in "dns.mappings[0].name". */
function nameOf(path: ConfigPath): string {
  return path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`))
    .join('')
    .replace(/^\./, '')
}

function shown(value: unknown): string {
  return JSON.stringify(value) ?? String(value)
}

function invalid(message: string, hint = 'The keys are explained in docs/configuration.md'): TpxError {
  return new TpxError('CONFIG_INVALID', message, { hint })
}
