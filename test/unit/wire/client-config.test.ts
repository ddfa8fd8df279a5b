import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { DEFAULT_EXCLUDE_SUFFIXES } from '../../../src/dns/name-plan.ts'
import { chartClientSchema, configSchema } from '../../../scripts/config-schema.ts'
import { CLIENT_CONFIG_DEFAULTS, clientConfigEntries, mergeClientConfigs } from '../../../src/wire/client-config.ts'
import { CLIENT_CONFIG_KEYS } from '../../../src/wire/client-config-schema.ts'
import { parseManagerClientConfig } from '../../../src/wire/manager-client-config.ts'

test('mergeClientConfigs() lets the first win key by key, replaces lists, and unites neverProxySubnets', () => {
  const flags = { dns: { lookupTimeout: 1000 }, routing: { alsoProxySubnets: ['10.1.0.0/16'], neverProxySubnets: ['10.2.0.0/16'] } }
  const file = {
    dns: { excludes: ['a'], lookupTimeout: 2000 },
    routing: { alsoProxySubnets: ['10.3.0.0/16'], neverProxySubnets: ['10.2.0.0/16', '10.4.0.0/16'] },
  }
  const manager = { routing: { neverProxySubnets: ['10.5.0.0/16'], vnat: ['10.6.0.0/16'] } }
  assert.deepEqual(mergeClientConfigs([flags, file, manager]), {
    dns: { excludes: ['a'], lookupTimeout: 1000 },
    routing: {
      alsoProxySubnets: ['10.1.0.0/16'],
      neverProxySubnets: ['10.2.0.0/16', '10.4.0.0/16', '10.5.0.0/16'],
      vnat: ['10.6.0.0/16'],
    },
  })
  assert.deepEqual(file.routing.neverProxySubnets, ['10.2.0.0/16', '10.4.0.0/16'], 'the sources stay as they are')
})

test('mergeClientConfigs() lets an empty list replace one, and false win', () => {
  const merged = mergeClientConfigs([
    { dns: { excludes: [] }, routing: { autoResolveConflicts: false } },
    { dns: { excludes: ['a'] }, routing: { autoResolveConflicts: true } },
  ])
  assert.deepEqual(clientConfigEntries(merged), [
    ['dns.excludes', []],
    ['routing.autoResolveConflicts', false],
  ])
})

test('parseManagerClientConfig() takes what Telepresence hands out as far as tpx knows it', () => {
  const text = `
connectionTTL: 24h
cluster: {mappedNamespaces: [a]}
dns:
  lookupTimeout: 8s
  excludeSuffixes: [.com]
  recursionCheck: true
  mappings: [{name: db, aliasFor: db.shared}]
routing:
  alsoProxy: [10.1.0.0/16]
  neverProxySubnets: null
  virtualSubnet: 246.246.0.0/16
timeouts: {intercept: 45, proxyDial: 5s}
`
  assert.deepEqual(parseManagerClientConfig(text), {
    config: {
      dns: { excludeSuffixes: ['.com'], lookupTimeout: 8000, mappings: [{ aliasFor: 'db.shared', name: 'db' }] },
      routing: { alsoProxySubnets: ['10.1.0.0/16'], virtualSubnet: '246.246.0.0/16' },
      timeouts: { intercept: 45_000 },
    },
    ignored: ['connectionTTL', 'cluster', 'dns.recursionCheck', 'timeouts.proxyDial'],
    problems: [],
  })
})

test('parseManagerClientConfig() leaves a bad value out and says why; nothing and nonsense are no failure', () => {
  const { config, problems } = parseManagerClientConfig(
    'dns: {lookupTimeout: soon, excludes: [a]}\nrouting: {alsoProxySubnets: [10.0.0.0/99]}',
  )
  assert.deepEqual(config, { dns: { excludes: ['a'] } })
  assert.equal(problems.length, 2)
  assert.match(problems[0]!, /^"dns.lookupTimeout" must be a duration/)
  assert.match(problems[1]!, /^"routing.alsoProxySubnets" must be a CIDR/)
  assert.deepEqual(parseManagerClientConfig(''), { config: {}, ignored: [], problems: [] })
  assert.deepEqual(parseManagerClientConfig('- 1').problems, ['It is no map'])
  assert.match(parseManagerClientConfig('a: [').problems[0]!, /^It is no YAML: /)
})

test('docs/config.schema.json and the part "client" of the chart\'s schema are up to date (npm run generate)', () => {
  const read = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'))
  assert.deepEqual(read('docs/config.schema.json'), configSchema())
  const { properties } = read('charts/tpx/values.schema.json') as { properties: { client: unknown } }
  assert.deepEqual(properties.client, chartClientSchema())
})

test('The JSON Schema has every key with a description, and docs/configuration.md names every key', () => {
  const page = readFileSync('docs/configuration.md', 'utf8')
  const { properties } = JSON.parse(readFileSync('docs/config.schema.json', 'utf8')) as {
    properties: Record<string, { properties: Record<string, { description?: string }> }>
  }
  for (const [section, keys] of Object.entries(CLIENT_CONFIG_KEYS)) {
    assert.deepEqual(Object.keys(properties[section]!.properties), keys)
    for (const key of keys) {
      assert.ok(properties[section]!.properties[key]!.description, `${section}.${key}`)
      assert.ok(page.includes(`\`${section}.${key}\``), `docs/configuration.md: ${section}.${key}`)
    }
  }
})

test('CLIENT_CONFIG_DEFAULTS is what the DNS server does by itself', () => {
  assert.deepEqual(CLIENT_CONFIG_DEFAULTS.dns.excludeSuffixes, DEFAULT_EXCLUDE_SUFFIXES)
})
