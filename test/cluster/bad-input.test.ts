// Bad input: a clear error with a code and the next step, and nothing left behind.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, describe, test } from 'node:test'
import { parse, stringify } from 'yaml'
import { ensureManager, leftovers, quitAll } from '../helpers/cluster.ts'
import { dockerProxy } from '../helpers/docker-proxy.ts'
import { kubectl, tpx, tpxOk } from '../helpers/tpx.ts'

type KubeConfig = {
  clusters: { cluster: Record<string, unknown>; name: string }[]
  users: { name: string; user: Record<string, unknown> }[]
}

const directory = mkdtempSync(join(tmpdir(), 'tpx-bad-'))
let count = 0

/** The test cluster's kubeconfig, changed. */
function kubeconfig(change: (config: KubeConfig) => void): string {
  const config = parse(readFileSync(String(process.env['KUBECONFIG']), 'utf8')) as KubeConfig
  change(config)
  const path = join(directory, `config-${count++}`)
  writeFileSync(path, stringify(config))
  return path
}

async function fails(words: string[], code: string, env: Record<string, string> = {}): Promise<{ hint: string; message: string }> {
  const began = performance.now()
  const ended = await tpx([...words, '--output', 'json'], { env })
  const { error } = (ended.json ?? {}) as { error?: { code: string; hint: string; message: string } }
  assert.equal(error?.code, code, `${words.join(' ')}: ${ended.stdout}${ended.stderr}`)
  assert.ok(ended.status > 0 && ended.status !== 70)
  assert.ok(error.hint, `${code} has a next step`)
  assert.ok(!/\n\s+at /.test(ended.stderr), 'no stack trace')
  assert.ok(performance.now() - began < 30_000)
  assert.equal(await leftovers(), '', `${words.join(' ')} leaves nothing`)
  return error
}

describe('bad input', () => {
  before(async () => {
    await quitAll()
    await ensureManager()
  })
  afterEach(quitAll)
  after(() => kubectl('delete', 'serviceaccount', 'tpx-test-nobody', '--ignore-not-found'))

  test('a namespace that is not there', async () => {
    const { message } = await fails(['connect', '--namespace', 'no-such-namespace'], 'NAMESPACE_NOT_FOUND')
    assert.match(message, /no-such-namespace/)
  })

  test('a manager namespace without a traffic-manager', async () => {
    const { hint } = await fails(['connect', '--manager-namespace', 'kube-public'], 'MANAGER_NOT_INSTALLED')
    assert.match(hint, /tpx helm install|--manager-namespace/)
  })

  test('an API server that does not answer', async () => {
    const path = kubeconfig(({ clusters }) => clusters.forEach(({ cluster }) => (cluster['server'] = 'https://127.0.0.1:1')))
    const { message } = await fails(['connect', '--kubeconfig', path], 'KUBERNETES_UNREACHABLE')
    assert.match(message, /127\.0\.0\.1:1/)
  })

  test('a certificate of another authority', async () => {
    const path = kubeconfig(({ clusters }) => clusters.forEach(({ cluster }) => delete cluster['certificate-authority-data']))
    await fails(['connect', '--kubeconfig', path], 'KUBERNETES_CERTIFICATE_INVALID')
  })

  test('credentials that the API does not accept', async () => {
    const path = kubeconfig(({ users }) => users.forEach((one) => (one.user = { token: 'not-a-token' })))
    await fails(['connect', '--kubeconfig', path], 'KUBERNETES_UNAUTHORIZED')
  })

  test('a user without permissions', async () => {
    await kubectl('create', 'serviceaccount', 'tpx-test-nobody')
    const token = await kubectl('create', 'token', 'tpx-test-nobody')
    const path = kubeconfig(({ users }) => users.forEach((one) => (one.user = { token: token.trim() })))
    const { hint, message } = await fails(['connect', '--kubeconfig', path], 'KUBERNETES_FORBIDDEN')
    assert.match(`${message} ${hint}`, /services|pods/)
  })

  test('an engine without the tunnel image', async () => {
    const { message } = await fails(['connect'], 'IMAGE_NOT_FOUND', { TPX_TUNNEL_IMAGE: 'tpx-test/no-such:1' })
    assert.match(message, /tpx-test\/no-such:1/)
  })

  test('an engine without a TUN device', async () => {
    await using proxy = await dockerProxy((body) => {
      const { Devices } = (body['HostConfig'] ?? {}) as { Devices?: { PathOnHost: string }[] }
      for (const device of Devices ?? []) device.PathOnHost = device.PathOnHost.replace('tun', 'no-tun')
    })
    await fails(['connect', '--name', 'no-tun'], 'TUN_UNAVAILABLE', { DOCKER_HOST: proxy.host })
  })

  test('a connection name that is in use for something else', async () => {
    await tpxOk(['connect', '--name', 'taken'])
    const { json } = await tpx(['connect', '--name', 'taken', '--namespace', 'kube-system', '--output', 'json'])
    assert.equal((json as { error: { code: string } }).error.code, 'CONNECTION_EXISTS')
    await tpxOk(['list', '--use', 'taken'])
    const publish = await tpx([
      'docker-run',
      '--name',
      'taken',
      '--output',
      'json',
      '--intercept',
      'web-app',
      '--',
      '--rm',
      '-p',
      '80:80',
      'tpx-test/sample:1',
    ])
    assert.equal((publish.json as { error: { code: string } }).error.code, 'CONNECTION_EXISTS')
  })
})
