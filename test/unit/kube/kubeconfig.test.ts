import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { contextNamespace, type KubeconfigOptions, loadKubeconfig } from '../../../src/kube/kubeconfig.ts'
import { serverOf } from '../../../src/kube/server-address.ts'

const dir = mkdtempSync(join(tmpdir(), 'tpx-kubeconfig-'))
after(() => rmSync(dir, { recursive: true }))

type Parts = { as?: object; cluster?: string; current?: string; extra?: object; namespace?: string; server?: string; user?: string }

function write(file: string, name: string, parts: Parts = {}): string {
  const { as = {}, cluster = name, current, extra = {}, namespace, server = `https://${name}:6443`, user = name } = parts
  const path = join(dir, file)
  const context = { cluster, user, ...(namespace ? { namespace } : {}) }
  const config = {
    clusters: [{ name, cluster: { server, ...extra } }],
    contexts: [{ name, context }],
    users: [{ name, user: { token: `${name}-token`, ...as } }],
    ...(current ? { 'current-context': current } : {}),
  }
  writeFileSync(path, JSON.stringify(config))
  return path
}

const one = write('one', 'one', { current: 'one', namespace: 'team' })
const two = write('two', 'two', { current: 'two' })

test('loadKubeconfig() reads one file and its current context', async () => {
  const kubeConfig = await loadKubeconfig({ kubeconfig: one }, {})
  assert.equal(serverOf(kubeConfig), 'https://one:6443')
  assert.equal(contextNamespace(kubeConfig), 'team')
})

test('loadKubeconfig() merges the files of KUBECONFIG, the first current-context wins', async () => {
  const env = { KUBECONFIG: `${one}:${join(dir, 'absent')}:${two}` }
  assert.equal((await loadKubeconfig({}, env)).getCurrentContext(), 'one')
  const other = await loadKubeconfig({ context: 'two' }, env)
  assert.equal(serverOf(other), 'https://two:6443')
  assert.equal(contextNamespace(other), 'default')
})

test('loadKubeconfig() takes the first definition of a name that two files define', async () => {
  const again = write('again', 'one', { current: 'one', server: 'https://elsewhere:1' })
  assert.equal(serverOf(await loadKubeconfig({}, { KUBECONFIG: `${one}:${again}` })), 'https://one:6443')
})

test('loadKubeconfig() falls back to ~/.kube/config, and says so when it is not there', async () => {
  await assert.rejects(loadKubeconfig({}, { HOME: dir }), { code: 'KUBECONFIG_INVALID', message: /\.kube\/config" does not exist/ })
})

test('loadKubeconfig() throws CONTEXT_NOT_FOUND with the nearest name and the list', async () => {
  await assert.rejects(loadKubeconfig({ context: 'onne', kubeconfig: one }, {}), {
    code: 'CONTEXT_NOT_FOUND',
    hint: 'Did you mean "one"? Contexts: one',
  })
})

test('loadKubeconfig() throws KUBECONFIG_INVALID for what is no kubeconfig', async () => {
  const broken = join(dir, 'broken')
  for (const text of ['{', '', 'just text', 'clusters: [{name: x}]', 'contexts: 5']) {
    writeFileSync(broken, text)
    await assert.rejects(loadKubeconfig({ kubeconfig: broken }, {}), { code: 'KUBECONFIG_INVALID' }, text)
  }
})

test('loadKubeconfig() throws KUBECONFIG_INVALID where the context names what is not there', async () => {
  const noCluster = write('no-cluster', 'x', { cluster: 'gone', current: 'x' })
  await assert.rejects(loadKubeconfig({ kubeconfig: noCluster }, {}), { code: 'KUBECONFIG_INVALID', message: /names the cluster "gone"/ })
  const noUser = write('no-user', 'x', { current: 'x', user: 'gone' })
  await assert.rejects(loadKubeconfig({ kubeconfig: noUser }, {}), { code: 'KUBECONFIG_INVALID', message: /names the user "gone"/ })
  const noCurrent = write('no-current', 'x')
  await assert.rejects(loadKubeconfig({ kubeconfig: noCurrent }, {}), { code: 'KUBECONFIG_INVALID', message: /no current context/ })
})

test('loadKubeconfig() impersonates with --as', async () => {
  const options: { headers?: Record<string, string> } = {}
  await (await loadKubeconfig({ as: 'jane', kubeconfig: one }, {})).applyToHTTPSOptions(options)
  assert.equal(options.headers?.['Impersonate-User'], 'jane')
  assert.equal(options.headers?.['Authorization'], 'Bearer one-token')
})

test('loadKubeconfig() takes the proxy of the environment unless the cluster names one', async () => {
  const env = { HTTPS_PROXY: 'proxy:3128' }
  assert.equal((await loadKubeconfig({ kubeconfig: one }, env)).getCurrentCluster()?.proxyUrl, 'http://proxy:3128')
  const own = write('own-proxy', 'x', { current: 'x', extra: { 'proxy-url': 'http://own:1' } })
  assert.equal((await loadKubeconfig({ kubeconfig: own }, env)).getCurrentCluster()?.proxyUrl, 'http://own:1')
})

async function headersOf(options: KubeconfigOptions): Promise<Record<string, unknown>> {
  const request: { headers?: Record<string, unknown> } = {}
  await (await loadKubeconfig(options, {})).applyToHTTPSOptions(request as object)
  return request.headers ?? {}
}

test('loadKubeconfig() impersonates as the kubeconfig says, and flags win', async () => {
  const kubeconfig = write('as', 'x', { as: { as: 'jane', 'as-groups': ['dev'], 'as-uid': '1' }, current: 'x' })
  const own = await headersOf({ kubeconfig })
  assert.deepEqual([own['Impersonate-User'], own['Impersonate-Group'], own['Impersonate-Uid']], ['jane', ['dev'], '1'])
  const flags = await headersOf({ as: 'joe', asGroups: ['ops'], asUid: '2', kubeconfig })
  assert.deepEqual([flags['Impersonate-User'], flags['Impersonate-Group'], flags['Impersonate-Uid']], ['joe', ['ops'], '2'])
})

test('loadKubeconfig() throws USAGE for groups without a user', async () => {
  await assert.rejects(loadKubeconfig({ asGroups: ['ops'], kubeconfig: one }, {}), { code: 'USAGE', hint: /--as/ })
})

test('loadKubeconfig() takes a token file, relative to the kubeconfig, before a token', async () => {
  writeFileSync(join(dir, 'token-file'), 'from-file')
  const kubeconfig = write('with-token-file', 'x', { as: { tokenFile: 'token-file' }, current: 'x' })
  assert.equal((await headersOf({ kubeconfig }))['Authorization'], 'Bearer from-file')
})

test('loadKubeconfig() runs a credential plugin, relative to the kubeconfig, with the cluster that it wants', async () => {
  writeFileSync(
    join(dir, 'plugin'),
    `#!/bin/sh\nprintf %s "$KUBERNETES_EXEC_INFO" >${dir}/info\necho '{"kind":"ExecCredential","status":{"token":"from-plugin"}}'\n`,
    { mode: 0o755 },
  )
  const extensions = [{ extension: { audience: 'x' }, name: 'client.authentication.k8s.io/exec' }]
  const as = { exec: { command: './plugin', provideClusterInfo: true }, token: undefined }
  const kubeconfig = write('with-plugin', 'x', { as, current: 'x', extra: { extensions, 'tls-server-name': 'kubernetes' } })
  assert.equal((await headersOf({ kubeconfig }))['Authorization'], 'Bearer from-plugin')
  const info = JSON.parse(readFileSync(join(dir, 'info'), 'utf8')) as { spec: unknown }
  const cluster = { config: { audience: 'x' }, server: 'https://x:6443', 'tls-server-name': 'kubernetes' }
  assert.deepEqual(info.spec, { cluster, interactive: false })
})

test('loadKubeconfig() names a file that the context needs and that is not there', async () => {
  const kubeconfig = write('no-ca', 'x', { current: 'x', extra: { 'certificate-authority': 'gone.crt' } })
  await assert.rejects(loadKubeconfig({ kubeconfig }, {}), {
    code: 'KUBECONFIG_INVALID',
    message: /gone\.crt" that context "x" names as certificate-authority cannot be read: ENOENT/,
  })
})

test('loadKubeconfig() lets a SOCKS proxy resolve the name, as Go does', async () => {
  const kubeconfig = write('socks', 'x', { current: 'x', extra: { 'proxy-url': 'socks5://127.0.0.1:1080' } })
  assert.equal((await loadKubeconfig({ kubeconfig }, {})).getCurrentCluster()?.proxyUrl, 'socks5h://127.0.0.1:1080')
})

test('loadKubeconfig() takes name and password', async () => {
  const kubeconfig = write('basic', 'x', { as: { password: 's3cret', token: undefined, username: 'me' }, current: 'x' })
  const options: { auth?: string } = {}
  await (await loadKubeconfig({ kubeconfig }, {})).applyToHTTPSOptions(options)
  assert.equal(options.auth, 'me:s3cret')
})
