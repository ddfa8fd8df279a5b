import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import manifest from '../../oclif.manifest.json' with { type: 'json' }
import { tpx } from '../helpers/tpx.ts'

const directory = mkdtempSync(join(tmpdir(), 'tpx-cli-'))
const kubeconfig = join(directory, 'config')
writeFileSync(
  kubeconfig,
  'apiVersion: v1\nkind: Config\ncurrent-context: one\ncontexts:\n- {name: one, context: {cluster: c, user: u, namespace: shop}}\nclusters:\n- {name: c, cluster: {server: "https://127.0.0.1:1"}}\nusers:\n- {name: u, user: {}}\n',
)
const broken = join(directory, 'broken')
writeFileSync(broken, '{{{{')
// No engine and no runtime directory of the user's: these tests touch nothing.
const env = {
  TPX_CONFIG: '',
  XDG_CONFIG_HOME: directory,
  DOCKER_HOST: `unix://${directory}/no-docker.sock`,
  KUBECONFIG: kubeconfig,
  XDG_RUNTIME_DIR: directory,
  XDG_STATE_HOME: directory,
}

test('generated files are up to date', () => {
  execFileSync(process.execPath, ['scripts/generate.ts', '--check'], { stdio: ['ignore', 'ignore', 'inherit'] })
})

for (const id of Object.keys(manifest.commands))
  test(`tpx ${id.replaceAll(':', ' ')} --help says what it does`, async () => {
    const { status, stdout } = await tpx([...id.split(':'), '--help'], { env })
    assert.equal(status, 0)
    assert.match(stdout, /USAGE/)
    assert.ok(stdout.length > 200)
  })

const brokenConfig = join(directory, 'broken.yml')
writeFileSync(brokenConfig, 'routing:\n  alsoProxy: [10.0.0.0/8]\n')
for (const words of [
  ['connect'],
  ['docker-run', '--intercept', 'web', '--', 'img'],
  ['helm', 'install'],
  ['helm', 'uninstall'],
  ['config', 'view'],
])
  test(`tpx ${words.join(' ')} stops at a configuration that is not valid`, async () => {
    const { status, stderr } = await tpx(words, { env: { ...env, TPX_CONFIG: brokenConfig } })
    assert.equal(status, words[0] === 'docker-run' ? 125 : 2)
    assert.match(stderr, /^Error: ".*broken\.yml", line 2: there is no key "routing.alsoProxy" \[CONFIG_INVALID\]$/m)
    assert.match(stderr, /^Next: {2}Did you mean "routing.alsoProxySubnets"\?/m)
  })

test('tpx config view --client-only needs no engine; its YAML can be saved and read again', async () => {
  const first = await tpx(['config', 'view', '--client-only', '--output', 'yaml'], { env: { ...env, TPX_LOG_LEVEL: 'debug' } })
  assert.equal(first.status, 0, first.stderr)
  const saved = join(directory, 'saved.yml')
  writeFileSync(saved, first.stdout)
  const second = await tpx(['config', 'view', '--client-only', '--output', 'yaml'], { env: { ...env, TPX_CONFIG: saved } })
  assert.deepEqual([second.stdout, second.stderr], [first.stdout, ''])
  const text = await tpx(['config', 'view', '--client-only'], { env: { ...env, TPX_CONFIG: saved, TPX_MANAGER_NAMESPACE: 'mgr' } })
  assert.match(text.stdout, /^KEY +VALUE +SOURCE$/m)
  assert.match(text.stdout, /^cluster\.defaultManagerNamespace +mgr +environment variable TPX_MANAGER_NAMESPACE$/m)
  assert.match(text.stdout, /^logLevels\.link +debug +".*saved\.yml"$/m)
})

const failures: [string[], string, number, RegExp?][] = [
  [['status'], 'DOCKER_UNREACHABLE', 3],
  [['quit'], 'DOCKER_UNREACHABLE', 3],
  [['list'], 'DOCKER_UNREACHABLE', 3],
  [['connect', '--context', 'onne'], 'CONTEXT_NOT_FOUND', 2, /Did you mean "one"/],
  [['connect', '--kubeconfig', broken], 'KUBECONFIG_INVALID', 2],
  [['connect', '--kubeconfig', join(directory, 'none')], 'KUBECONFIG_INVALID', 2],
  [['connect', '--name', 'Not A Name'], 'USAGE', 2],
  [['connect', '--nonsense'], 'USAGE', 2],
  [['connect', '--token', 's3cret'], 'USAGE', 2, /set-credentials/],
  [['connect', '--server=https://x'], 'USAGE', 2, /set-cluster/],
  [['helm', 'install', '--user', 'me'], 'USAGE', 2, /set-context/],
  [['connect', '--as-group', 'dev'], 'USAGE', 2],
  [['connect'], 'DOCKER_UNREACHABLE', 3],
  [['intercept'], 'USAGE', 2],
  [['intercept', 'web', '--port', 'x:y:z'], 'USAGE', 2],
  [['docker-run', '--intercept', 'web', '--', '--network', 'host', 'img'], 'DOCKER_FLAG_UNSUPPORTED', 125],
  [['docker-run', '--intercept', 'web', '--', '--rm'], 'USAGE', 2],
  [['docker-run', '--', 'img'], 'USAGE', 2],
  [['proxy'], 'DOCKER_UNREACHABLE', 3],
  [['proxy', '--port', '99999'], 'USAGE', 2],
  [['run', '--', 'true'], 'DOCKER_UNREACHABLE', 125],
  [['run', '--use', 'one', '--name', 'two'], 'USAGE', 2],
  [['status', '--check', '--watch'], 'USAGE', 2],
  [['docker-run', '--intercept', 'web', '--', 'img'], 'DOCKER_UNREACHABLE', 125],
]
for (const [words, code, status, hint] of failures)
  test(`tpx ${words.map((word) => word.replace(directory, '…')).join(' ')} fails with ${code}`, async () => {
    const dashes = words.indexOf('--')
    const ended = await tpx(dashes < 0 ? [...words, '--output', 'json'] : words.toSpliced(dashes, 0, '--output', 'json'), { env })
    const { error } = ended.json as { error: { code: string; hint: string; message: string } }
    assert.equal(error.code, code, ended.stderr)
    assert.equal(ended.status, status)
    assert.match(ended.stderr, /^Error: [A-Z"].*[^.] \[[A-Z_]+\]$/m)
    assert.ok(error.hint, 'every failure has a next step')
    if (hint) assert.match(error.hint, hint)
    assert.ok(!/\n\s+at /.test(ended.stderr), 'no stack trace')
  })

test('tpx curl hands even --output and --help on to curl, and ends with 125 where there is nothing to connect to', async () => {
  const ended = await tpx(['curl', '--output', 'json', 'http://web/'], { env })
  assert.equal(ended.status, 125)
  assert.equal(ended.stdout, '')
  assert.match(ended.stderr, /^Error: .*\[DOCKER_UNREACHABLE\]/)
})
