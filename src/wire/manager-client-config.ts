import * as v from 'valibot'
import { parse } from 'yaml'
import { messageOf } from '../base/error.ts'
import type { ClientConfig } from './client-config.ts'
import { clientConfigSchema } from './client-config-schema.ts'

/** What of the `client:` section of a traffic-manager takes effect: the rest is needed before there is a session with it. */
export const MANAGER_KEYS = {
  dns: ['excludeSuffixes', 'excludes', 'includeSuffixes', 'lookupTimeout', 'mappings'],
  intercept: ['defaultPort'],
  routing: [
    'allowConflictingSubnets',
    'alsoProxySubnets',
    'autoResolveConflicts',
    'neverProxySubnets',
    'proxyVia',
    'virtualSubnet',
    'vnat',
  ],
  timeouts: ['connectionGrace', 'intercept', 'trafficManagerAPI'],
} as const satisfies { [S in keyof ClientConfig]?: readonly (keyof NonNullable<ClientConfig[S]>)[] }

/** Names of before Telepresence 2.21. */
const OLD_NAMES: Record<string, string> = {
  'routing.allowConflicting': 'allowConflictingSubnets',
  'routing.alsoProxy': 'alsoProxySubnets',
  'routing.neverProxy': 'neverProxySubnets',
}

type Values = Record<string, unknown>

const isMap = (value: unknown): value is Values => typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * Reads what GetClientConfig answers (YAML, Telepresence's or ours). One bad value must not take the others away, and another
 * version's keys are no fault: what cannot be used is left out.
 * @returns `ignored`: keys without effect here; `problems`: why a value was left out, in words
 */
export function parseManagerClientConfig(text: string): { config: ClientConfig; ignored: string[]; problems: string[] } {
  const ignored: string[] = []
  const problems: string[] = []
  const config: Record<string, Values> = {}
  for (const [section, values] of Object.entries(parseMap(text, problems))) {
    const known = MANAGER_KEYS[section as keyof typeof MANAGER_KEYS] as readonly string[] | undefined
    if (!known || !isMap(values)) {
      ignored.push(section)
      continue
    }
    for (const [given, value] of Object.entries(values)) {
      const key = OLD_NAMES[`${section}.${given}`] ?? given
      if (!known.includes(key)) ignored.push(`${section}.${given}`)
      else if (value !== null) {
        const result = v.safeParse(schemaOf(section, key), value)
        if (result.success) (config[section] ??= {})[key] = result.output
        else problems.push(`"${section}.${given}" must be ${result.issues[0].message}`)
      }
    }
  }
  return { config, ignored, problems }
}

function parseMap(text: string, problems: string[]): Values {
  try {
    const value: unknown = parse(text) ?? {}
    if (isMap(value)) return value
    problems.push('It is no map')
  } catch (error) {
    problems.push(`It is no YAML: ${messageOf(error).split('\n', 1)[0]}`)
  }
  return {}
}

function schemaOf(section: string, key: string): v.GenericSchema {
  const { entries } = clientConfigSchema.entries[section as keyof ClientConfig].wrapped.pipe[0]
  return (entries as unknown as Record<string, { wrapped: v.GenericSchema }>)[key]!.wrapped
}
