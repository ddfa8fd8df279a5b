import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type ExecConfig, runExecPlugin } from '../../../src/kube/exec-plugin.ts'

const directory = mkdtempSync(join(tmpdir(), 'tpx-plugin-'))
after(() => rmSync(directory, { recursive: true }))

const V1 = 'client.authentication.k8s.io/v1'
let count = 0

function script(body: string): string {
  const path = join(directory, `plugin-${count++}`)
  writeFileSync(path, `#!/bin/sh\n${body}\n`)
  chmodSync(path, 0o755)
  return path
}

const answer = (status: object, apiVersion = V1): string => JSON.stringify({ apiVersion, kind: 'ExecCredential', status })
const run = (config: ExecConfig, onNotice?: (text: string) => void) =>
  runExecPlugin({ cluster: { server: 'https://api:6443' }, config, context: 'dev' }, onNotice)
const says = (text: string): string => script(`echo '${text}'`)

test('runExecPlugin() hands out token, certificate and end of life', async () => {
  const expirationTimestamp = '2030-01-01T00:00:00Z'
  const command = says(answer({ clientCertificateData: 'C', clientKeyData: 'K', expirationTimestamp, token: 'T' }))
  const credential = await run({ apiVersion: V1, command })
  assert.deepEqual(credential, { certificate: 'C', expiresAt: Date.parse(expirationTimestamp), key: 'K', token: 'T' })
  assert.equal((await run({ command: says(answer({ token: 'T' })) })).expiresAt, Infinity)
})

test('runExecPlugin() gives arguments, variables, no terminal and, where it is wanted, the cluster', async () => {
  const notices: string[] = []
  const command = script(`cat >/dev/null; echo "$1 $MINE $KUBERNETES_EXEC_INFO" >&2; echo '${answer({ token: 'T' })}'`)
  const config = { apiVersion: V1, args: ['one'], command, env: [{ name: 'MINE', value: 'two' }] }
  await run(config, (text) => notices.push(text))
  await run({ ...config, provideClusterInfo: true }, (text) => notices.push(text))
  const [first = '', second = ''] = notices
  const info = (text: string): unknown => JSON.parse(text.slice('one two '.length))
  assert.deepEqual(info(first), { apiVersion: V1, kind: 'ExecCredential', spec: { interactive: false } })
  assert.deepEqual(info(second), {
    apiVersion: V1,
    kind: 'ExecCredential',
    spec: { cluster: { server: 'https://api:6443' }, interactive: false },
  })
})

const failures: [what: string, config: () => ExecConfig, message: RegExp, hint?: RegExp][] = [
  ['is missing', () => ({ command: 'tpx-no-such-plugin' }), /"tpx-no-such-plugin" of context "dev" is not in PATH/, /Install it/],
  [
    'is missing, with a hint of its own',
    () => ({ command: 'tpx-no-such-plugin', installHint: 'brew install x' }),
    /PATH/,
    /^brew install x$/,
  ],
  ['is a path that is not there', () => ({ command: '/no/such/plugin' }), /is not there/],
  ['may not be run', () => ({ command: directory }), /cannot be started \(EACCES\)/],
  [
    'fails',
    () => ({ command: script('echo "SSO session expired" >&2; exit 3') }),
    /failed with status 3: SSO session expired/,
    /Sign in again/,
  ],
  ['writes no JSON', () => ({ command: says('hello') }), /wrote no ExecCredential/],
  ['gives no credential', () => ({ command: says(answer({})) }), /neither a token nor a certificate/],
  [
    'answers in another version',
    () => ({ apiVersion: 'client.authentication.k8s.io/v1beta1', command: says(answer({ token: 'T' })) }),
    /v1beta1/,
  ],
  ['gives a time that is none', () => ({ command: says(answer({ expirationTimestamp: 'soon', token: 'T' })) }), /"soon"/],
  ['wants a terminal', () => ({ command: script('exit 1'), interactiveMode: 'Always' }), /status 1/, /wants a terminal/],
]
for (const [what, config, message, hint = /./] of failures)
  test(`runExecPlugin() throws CREDENTIAL_PLUGIN_FAILED when the plugin ${what}`, async () => {
    await assert.rejects(run(config()), { code: 'CREDENTIAL_PLUGIN_FAILED', hint, message })
  })

test('runExecPlugin() repeats nothing of an answer that it cannot read', async () => {
  await assert.rejects(run({ command: says('{"status":{"token":"s3cret"') }), (error: Error) => !error.message.includes('s3cret'))
})
