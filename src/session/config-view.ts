import { formatDuration } from '../base/duration.ts'
import { TpxError } from '../base/error.ts'
import { CLIENT_CONFIG_DEFAULTS, type ClientConfig, clientConfigEntries, isUnited, mergeClientConfigs } from '../wire/client-config.ts'
import type { ClientConfigSources } from './client-config.ts'
import { type EngineSource, useConnection } from './connection.ts'

/** What a connection was made with, and what its traffic-manager sets beneath that. */
export type ConnectionConfig = { client: ClientConfig; manager: ClientConfig; name: string }

/** One value in force, and who said it. */
export type ConfigRow = { key: string; source: string; value: unknown }

/** The configuration in force. */
export type ConfigView = {
  /** Keys whose sources say something else now than when the connection was made. */
  changed: string[]
  /** In the form of a config.yml: durations are texts. */
  config: Record<string, Record<string, unknown>>
  rows: ConfigRow[]
}

/** The keys that two configurations have differently. */
export function changedKeys(before: ClientConfig, now: ClientConfig): string[] {
  const [a, b] = [new Map(clientConfigEntries(before)), new Map(clientConfigEntries(now))]
  return [...new Set([...a.keys(), ...b.keys()])].filter((key) => JSON.stringify(a.get(key)) !== JSON.stringify(b.get(key))).sort()
}

/** Asks the connection that is meant; undefined where none is named and there is none. @throws TpxError CONNECTION_*, DOCKER_UNREACHABLE */
export async function readConnectionConfig(options: {
  engine: EngineSource
  root: string
  use: string | undefined
}): Promise<ConnectionConfig | undefined> {
  try {
    const { control, name } = await useConnection(options)
    const answer = await control.call('config', {}).finally(() => control.close())
    return { ...answer, name }
  } catch (error) {
    if (error instanceof TpxError && error.code === 'CONNECTION_NOT_FOUND' && options.use === undefined) return undefined
    throw error
  }
}

/** What is in force, value by value: in a connection, or for the next one. */
export function viewConfig(sources: ClientConfigSources, connection: ConnectionConfig | undefined): ConfigView {
  const client = connection?.client ?? sources.config
  const effective = mergeClientConfigs([client, connection?.manager ?? {}, CLIENT_CONFIG_DEFAULTS])
  const changed = connection ? changedKeys(client, sources.config) : []
  const said = [
    ...sources.layers.map(({ config, source }) => ({ keys: new Map(clientConfigEntries(config)), source })),
    ...(connection ? [{ keys: new Map(clientConfigEntries(connection.manager)), source: 'traffic-manager' }] : []),
  ]
  const ofClient = new Map(clientConfigEntries(client))
  const rows = clientConfigEntries(effective).map(([key, value]): ConfigRow => {
    const isOfConnection = changed.includes(key) && ofClient.has(key)
    const sayers = said.filter(({ keys, source }) => keys.has(key) && (!changed.includes(key) || source === 'traffic-manager'))
    const names = [...(isOfConnection ? [`connection "${connection?.name}"`] : []), ...sayers.map(({ source }) => source)]
    return { key, source: (isUnited(key) ? names.join(' and ') : names[0]) ?? 'default', value: printable(key, value) }
  })
  const config: ConfigView['config'] = {}
  for (const { key, value } of rows) {
    const [section = '', name = ''] = key.split('.')
    ;(config[section] ??= {})[name] = value
  }
  return { changed, config, rows }
}

function printable(key: string, value: unknown): unknown {
  const isDuration = typeof value === 'number' && (key.startsWith('timeouts.') || key === 'dns.lookupTimeout')
  return isDuration ? formatDuration(value) : value
}
