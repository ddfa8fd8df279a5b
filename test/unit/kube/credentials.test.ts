import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type https from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, mock, test } from 'node:test'
import { Credentials } from '../../../src/kube/credentials.ts'

const directory = mkdtempSync(join(tmpdir(), 'tpx-credentials-'))
after(() => rmSync(directory, { recursive: true }))

/** A plugin whose n-th token is "token-n", each with the given life. */
function plugin(name: string, lifeMs: number | undefined): { calls: () => number; command: string } {
  const [calls, command, life] = ['calls', 'command', 'life'].map((part) => join(directory, `${name}-${part}`)) as [string, string, string]
  writeFileSync(calls, '')
  writeFileSync(life, lifeMs === undefined ? '' : `"expirationTimestamp":"${new Date(Date.now() + lifeMs).toISOString()}",`)
  writeFileSync(
    command,
    `#!/bin/sh\nprintf x >>${calls}\necho "{\\"kind\\":\\"ExecCredential\\",\\"status\\":{$(cat ${life})\\"token\\":\\"token-$(wc -c <${calls})\\"}}"\n`,
  )
  chmodSync(command, 0o755)
  return { calls: () => readFileSync(calls, 'utf8').length, command }
}

const credentialsOf = (command: string) =>
  new Credentials({ impersonate: {}, plugin: { cluster: {}, config: { command }, context: 'dev' } })

async function tokenOf(credentials: Credentials): Promise<string> {
  const options: https.RequestOptions = {}
  await credentials.apply(options)
  return String((options.headers as Record<string, string>)['Authorization']).replace('Bearer ', '')
}

test('Credentials runs a plugin once for many requests, also at the same time', async () => {
  const { calls, command } = plugin('once', undefined)
  const credentials = credentialsOf(command)
  assert.deepEqual(await Promise.all([tokenOf(credentials), tokenOf(credentials)]), ['token-1', 'token-1'])
  assert.equal(await tokenOf(credentials), 'token-1')
  assert.equal(calls(), 1)
})

test('Credentials renews before the end of life without letting anybody wait, and after it with a wait', async () => {
  const { calls, command } = plugin('renew', 100_000)
  const credentials = credentialsOf(command)
  const began = Date.now()
  const clock = mock.method(Date, 'now', () => began)
  try {
    assert.equal(await tokenOf(credentials), 'token-1')
    clock.mock.mockImplementation(() => began + 70_000)
    assert.equal(await tokenOf(credentials), 'token-1')
    assert.equal(calls(), 1)
    clock.mock.mockImplementation(() => began + 80_000)
    assert.equal(await tokenOf(credentials), 'token-1', 'the old one is still good')
    while (calls() < 2) await new Promise((resolve) => setTimeout(resolve, 10))
    clock.mock.mockImplementation(() => began + 100_001)
    assert.notEqual(await tokenOf(credentials), 'token-1')
  } finally {
    clock.mock.restore()
  }
})

test('Credentials puts the certificate of a plugin into the request, and into the agent of a proxy', async () => {
  const command = join(directory, 'certificate')
  writeFileSync(command, `#!/bin/sh\necho '{"kind":"ExecCredential","status":{"clientCertificateData":"C","clientKeyData":"K"}}'\n`)
  chmodSync(command, 0o755)
  const agent = { options: { cert: 'stale', key: 'stale' } }
  const options = { agent } as unknown as https.RequestOptions
  await credentialsOf(command).apply(options)
  assert.deepEqual([options.cert, options.key], ['C', 'K'])
  assert.deepEqual(agent.options, { cert: 'C', key: 'K' })
})

test('Credentials reads a token file for every request', async () => {
  const tokenFile = join(directory, 'token')
  writeFileSync(tokenFile, 'one\n')
  const credentials = new Credentials({ impersonate: {}, tokenFile })
  assert.equal(await tokenOf(credentials), 'one')
  writeFileSync(tokenFile, 'two\n')
  assert.equal(await tokenOf(credentials), 'two')
  rmSync(tokenFile)
  await assert.rejects(tokenOf(credentials), { code: 'KUBERNETES_UNAUTHORIZED', message: /ENOENT/ })
})

test('Credentials impersonates user, uid, groups and extra', async () => {
  const options: https.RequestOptions = { headers: {} }
  const impersonate = { extra: { 'Example.com/scope': ['a', 'b'] }, groups: ['g1', 'g2'], uid: '7', user: 'jane' }
  await new Credentials({ impersonate }).apply(options)
  assert.deepEqual(options.headers, {
    'Impersonate-Extra-example.com%2Fscope': ['a', 'b'],
    'Impersonate-Group': ['g1', 'g2'],
    'Impersonate-Uid': '7',
    'Impersonate-User': 'jane',
  })
})
