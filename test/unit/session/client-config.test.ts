import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { parse, stringify } from 'yaml'
import { TpxError } from '../../../src/base/error.ts'
import { checkClientConfig } from '../../../src/session/check-client-config.ts'
import { configPath, readClientConfig } from '../../../src/session/client-config.ts'
import { viewConfig } from '../../../src/session/config-view.ts'

type World = { env: Record<string, string>; kubeconfig: string; write: (name: string, text: string) => string }

/** A home of its own. */
function aHome(t: TestContext): World {
  const home = mkdtempSync(join(tmpdir(), 'tpx-config-'))
  t.after(() => rmSync(home, { recursive: true }))
  const write = (name: string, text: string): string => {
    const path = join(home, name)
    mkdirSync(join(path, '..'), { recursive: true })
    writeFileSync(path, text)
    return path
  }
  return { env: { HOME: home }, kubeconfig: join(home, 'none'), write }
}

const kubeconfig = (extensions: object[]): string =>
  stringify({
    clusters: [
      { cluster: { server: 'https://other' }, name: 'other' },
      { cluster: { extensions, server: 'https://one' }, name: 'one' },
    ],
    contexts: [
      { context: { cluster: 'other' }, name: 'two' },
      { context: { cluster: 'one' }, name: 'one' },
    ],
    'current-context': 'one',
  })

function failure(t: TestContext, text: string): { hint: string | undefined; message: string } {
  const { env, kubeconfig, write } = aHome(t)
  const path = write('.config/tpx/config.yml', text)
  try {
    readClientConfig({ context: undefined, kubeconfig }, env)
  } catch (error) {
    assert.ok(error instanceof TpxError && error.code === 'CONFIG_INVALID', String(error))
    return { hint: error.hint, message: error.message.replace(`"${path}"`, 'FILE') }
  }
  return assert.fail('it is taken')
}

test('configPath() is $TPX_CONFIG, else in the XDG directory, which must be absolute', () => {
  assert.equal(configPath({ HOME: '/h', TPX_CONFIG: 'a/b.yml', XDG_CONFIG_HOME: '/x' }), 'a/b.yml')
  assert.equal(configPath({ HOME: '/h', XDG_CONFIG_HOME: '/x' }), '/x/tpx/config.yml')
  assert.equal(configPath({ HOME: '/h', XDG_CONFIG_HOME: 'x' }), '/h/.config/tpx/config.yml')
  assert.equal(configPath({ HOME: '/h' }), '/h/.config/tpx/config.yml')
})

test('readClientConfig() merges flags > environment > tpx.dev > telepresence.io > config.yml', (t) => {
  const { env, write } = aHome(t)
  const inNamespace = (namespace: string) => ({ cluster: { defaultManagerNamespace: namespace } })
  const sources = ['flags', 'env', 'tpx-dev', 'telepresence-io', 'file']
  for (let strongest = 0; strongest < sources.length; strongest++) {
    const has = (source: string): boolean => sources.indexOf(source) >= strongest
    write('.config/tpx/config.yml', stringify({ ...inNamespace('file'), dns: { excludes: ['of-file'] } }))
    const file = write(
      'kube',
      kubeconfig([
        ...(has('telepresence-io') ? [{ extension: { manager: { namespace: 'telepresence-io' } }, name: 'telepresence.io' }] : []),
        ...(has('tpx-dev') ? [{ extension: inNamespace('tpx-dev'), name: 'tpx.dev' }] : []),
      ]),
    )
    const { config } = readClientConfig(
      { context: undefined, kubeconfig: file, ...(has('flags') ? { flags: inNamespace('flags') } : {}) },
      has('env') ? { ...env, TPX_MANAGER_NAMESPACE: 'env' } : env,
    )
    assert.equal(config.cluster?.defaultManagerNamespace, sources[strongest])
    assert.deepEqual(config.dns, { excludes: ['of-file'] })
  }
})

test('readClientConfig() is content without any file, with an empty one, and with empty sections', (t) => {
  const { env, kubeconfig, write } = aHome(t)
  assert.deepEqual(readClientConfig({ context: undefined, kubeconfig }, env).config, {})
  for (const text of ['', '# nothing\n', 'dns:\n', 'dns:\n  excludes:\n']) {
    write('.config/tpx/config.yml', text)
    assert.deepEqual(Object.values(readClientConfig({ context: undefined, kubeconfig }, env).config).flatMap(Object.keys), [], text)
  }
})

test('readClientConfig() reads the extension of the cluster of the context that is meant, and Telepresence’s old names', (t) => {
  const { env, write } = aHome(t)
  const extension = {
    'also-proxy': ['10.1.0.0/16'],
    dns: { 'include-suffixes': ['.corp'], 'local-ip': '1.2.3.4' },
    manager: { namespace: 'staging' },
    'never-proxy': ['10.2.0.0/16'],
    unknown: 1,
  }
  const file = write('kube', kubeconfig([{ extension, name: 'telepresence.io' }]))
  const { config, warnings } = readClientConfig({ context: 'one', kubeconfig: file }, env)
  assert.deepEqual(config, {
    cluster: { defaultManagerNamespace: 'staging' },
    dns: { includeSuffixes: ['.corp'] },
    routing: { alsoProxySubnets: ['10.1.0.0/16'], neverProxySubnets: ['10.2.0.0/16'] },
  })
  assert.equal(warnings.length, 1)
  assert.match(warnings[0]!, /^".*kube", line \d+ \(extension "telepresence.io"\): there is no key "unknown"/)
  assert.deepEqual(readClientConfig({ context: 'two', kubeconfig: file }, env).config, {})
})

test('readClientConfig() refuses an unknown key in the extension tpx.dev, with its line', (t) => {
  const { env, write } = aHome(t)
  const file = write('kube', kubeconfig([{ extension: { dns: { exclude: [] } }, name: 'tpx.dev' }]))
  assert.throws(() => readClientConfig({ context: undefined, kubeconfig: file }, env), {
    code: 'CONFIG_INVALID',
    hint: 'Did you mean "dns.excludes"? Keys of "dns": excludeSuffixes, excludes, includeSuffixes, lookupTimeout, mappings',
    message: `"${file}", line 9 (extension "tpx.dev"): there is no key "dns.exclude"`,
  })
})

test('readClientConfig() names file, line, key and the nearest known key', (t) => {
  const cases: [string, RegExp, RegExp?][] = [
    ['dns:\n  mapping: []', /^FILE, line 2: there is no key "dns.mapping"$/, /^Did you mean "dns.mappings"\? Keys of "dns": /],
    ['# x\n\nrouting: {}\ntimeout:\n  helm: 1s', /^FILE, line 4: there is no key "timeout"$/, /^Did you mean "timeouts"\?/],
    ['alsoProxySubnets: []', /^FILE, line 1: there is no key "alsoProxySubnets"$/, /^Did you mean "routing.alsoProxySubnets"\?/],
    ['dns:\n  xyzzy: 1', /there is no key "dns.xyzzy"$/, /^Keys of "dns": /],
    [
      'dns:\n  mappings:\n  - name: a\n    alias: b',
      /^FILE, line 4: there is no key "dns.mappings\[0\].alias"$/,
      /^Did you mean "aliasFor"\?/,
    ],
    ['dns:\n  mappings:\n  - name: a', /^FILE, line 3: "dns.mappings\[0\].aliasFor" is missing; /],
    ['dns:\n  lookupTimeout: 2 s', /^FILE, line 2: "dns.lookupTimeout" cannot be "2 s": it must be a duration/],
    ['dns:\n  lookupTimeout: -2', /^FILE, line 2: "dns.lookupTimeout" cannot be -2: it must be a duration/],
    [
      'routing:\n  alsoProxySubnets:\n  - 10.0.0.0/8\n  - 10.0.0.0/33',
      /^FILE, line 4: "routing.alsoProxySubnets\[1\]" cannot be "10.0.0.0\/33": it must be a CIDR/,
    ],
    ['routing:\n  alsoProxySubnets: 10.0.0.0/8', /cannot be "10.0.0.0\/8": it must be a list of CIDRs$/],
    ['routing:\n  autoResolveConflicts: yes', /cannot be "yes": it must be true or false$/],
    ['cluster:\n  defaultManagerNamespace: My_Ns', /cannot be "My_Ns": it must be the name of a Kubernetes namespace/],
    ['dns:\n  includeSuffixes: [".exam ple"]', /cannot be ".exam ple": it must be a domain suffix/],
    ['intercept:\n  defaultPort: 70000', /cannot be 70000: it must be a port number from 1 to 65535$/],
    ['logLevels:\n  link: loud', /cannot be "loud": it must be one of trace, debug, info, warn, error, silent$/],
    ['docker:\n  carrier: tcp', /cannot be "tcp": it must be one of auto, unix, exec$/],
    ['images:\n  registry: http://x/', /cannot be "http:\/\/x\/": it must be a registry/],
    ['routing: 3', /^FILE, line 1: "routing" cannot be 3: it must be a map of keys$/],
    ['- 3', /^FILE, line 1: the configuration must be a map of sections, not \[3\]$/],
    ['dns:\n  excludes: []\n  excludes: []', /^FILE, line 3: Map keys must be unique$/],
    ['dns: [', /^FILE, line \d: /],
  ]
  for (const [text, message, hint] of cases) {
    const failed = failure(t, text)
    assert.match(failed.message, message)
    if (hint) assert.match(failed.hint!, hint)
  }
})

test('readClientConfig() names the environment variable that is not valid, and a TPX_CONFIG that is not there', (t) => {
  const { env, kubeconfig } = aHome(t)
  const read = (more: Record<string, string>) => (): unknown => readClientConfig({ context: undefined, kubeconfig }, { ...env, ...more })
  assert.throws(read({ TPX_LOG_LEVEL: 'loud' }), { message: /^Environment variable TPX_LOG_LEVEL: .* cannot be "loud"/ })
  assert.throws(read({ TPX_CONFIG: '/none.yml' }), { code: 'CONFIG_INVALID', message: 'TPX_CONFIG names "/none.yml", which is not there' })
})

test('readClientConfig() only warns of keys of Telepresence, and of a file with the wrong ending', (t) => {
  const { env, kubeconfig, write } = aHome(t)
  const path = write('.config/tpx/config.yml', 'grpc: {maxReceiveSize: 4Mi}\ntimeouts:\n  proxyDial: 5s\n  helm: 3\n')
  const { config, warnings } = readClientConfig({ context: undefined, kubeconfig }, env)
  assert.deepEqual(config, { timeouts: { helm: 3000 } })
  assert.deepEqual(warnings, [
    `"${path}", line 1: "grpc" is Telepresence's and has no effect in tpx`,
    `"${path}", line 3: "timeouts.proxyDial" is Telepresence's and has no effect in tpx`,
  ])
  const other = aHome(t)
  const yaml = other.write('.config/tpx/config.yaml', 'nonsense')
  assert.deepEqual(readClientConfig({ context: undefined, kubeconfig }, other.env).warnings, [
    `"${yaml}" is not read: the file's name is config.yml`,
  ])
})

const sources = (t: TestContext) => {
  const { env, kubeconfig, write } = aHome(t)
  const path = write('.config/tpx/config.yml', 'dns: {lookupTimeout: 1500ms, excludes: [a]}\nrouting: {neverProxySubnets: [10.1.0.0/16]}\n')
  return { path, sources: readClientConfig({ context: undefined, kubeconfig }, { ...env, TPX_MANAGER_NAMESPACE: 'mgr' }) }
}

test('viewConfig() tells the source of every value; its config is one that can be saved', (t) => {
  const { path, sources: read } = sources(t)
  const { config, rows } = viewConfig(read, undefined)
  const from = (key: string) => rows.find((row) => row.key === key)
  assert.deepEqual(from('dns.lookupTimeout'), { key: 'dns.lookupTimeout', source: `"${path}"`, value: '1.5s' })
  assert.equal(from('cluster.defaultManagerNamespace')?.source, 'environment variable TPX_MANAGER_NAMESPACE')
  assert.deepEqual(from('timeouts.helm'), { key: 'timeouts.helm', source: 'default', value: '2m' })
  const again = checkClientConfig({ place: () => 'saved', value: parse(stringify(config)) })
  assert.deepEqual(again.warnings, [])
  assert.equal(again.config.dns?.lookupTimeout, 1500)
  assert.equal(again.config.timeouts?.helm, 120_000)
})

test('viewConfig() of a connection: the manager’s values, united lists, and what has changed since', (t) => {
  const { path, sources: read } = sources(t)
  const connection = {
    client: { ...read.config, dns: { excludes: ['before'], lookupTimeout: 1500 } },
    manager: { dns: { excludes: ['of manager'], includeSuffixes: ['.corp'] }, routing: { neverProxySubnets: ['10.9.0.0/16'] } },
    name: 'one',
  }
  const { changed, rows } = viewConfig(read, connection)
  const from = (key: string) => rows.find((row) => row.key === key)
  assert.deepEqual(changed, ['dns.excludes'])
  assert.deepEqual(from('dns.excludes'), { key: 'dns.excludes', source: 'connection "one"', value: ['before'] })
  assert.deepEqual(from('dns.includeSuffixes'), { key: 'dns.includeSuffixes', source: 'traffic-manager', value: ['.corp'] })
  assert.deepEqual(from('routing.neverProxySubnets'), {
    key: 'routing.neverProxySubnets',
    source: `"${path}" and traffic-manager`,
    value: ['10.1.0.0/16', '10.9.0.0/16'],
  })
})
