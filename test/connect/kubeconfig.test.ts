// What a kubeconfig can say: each is tried by a connection, and each failure by its code and next step.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { delimiter } from 'node:path'
import { createServer as createSecureServer } from 'node:tls'
import { after, afterEach, before, describe, test } from 'node:test'
import { runtimeDir } from '../../src/session/runtime-dir.ts'
import { ensureManager, leftovers, probe, quitAll } from '../helpers/cluster.ts'
import { selfSigned } from '../helpers/certificate.ts'
import { clusterKubeconfig, KubeconfigFolder, type KubeconfigText, setServer } from '../helpers/kubeconfig.ts'
import { connectProxy, loopbackApi, type Proxy, socksProxy } from '../helpers/proxies.ts'
import { kubectl, tpx, tpxOk, eventually } from '../helpers/tpx.ts'

const name = 'kubeconfig'
const folder = new KubeconfigFolder()
const bytes = (value: unknown): string => Buffer.from(String(value), 'base64').toString()

/** Connects, asks something in the cluster, and ends the connection. */
async function works(words: string[], env: Record<string, string> = {}): Promise<{ context: string; namespace: string }> {
  const { json } = await tpxOk(['connect', '--name', name, ...words, '--output', 'json'], { env })
  assert.match(await probe(name, 'get', 'http://web-app.default/'), /NAME=web-app-in-cluster/)
  await tpxOk(['quit', '--use', name])
  assert.equal(await leftovers(), '')
  return json as { context: string; namespace: string }
}

async function fails(words: string[], code: string, env: Record<string, string> = {}): Promise<{ hint: string; message: string }> {
  const began = performance.now()
  const ended = await tpx(['connect', '--name', name, ...words, '--output', 'json'], { env })
  const { error } = (ended.json ?? {}) as { error?: { code: string; hint: string; message: string } }
  assert.equal(error?.code, code, `${ended.stdout}${ended.stderr}`)
  assert.ok(error.hint, `${code} has a next step`)
  assert.ok(performance.now() - began < 5000, 'it is said within 5 s')
  assert.equal(await leftovers(), '')
  return error
}

const change = (alter: (config: KubeconfigText) => void): string[] => ['--kubeconfig', folder.kubeconfig(alter)]
const asUser = (user: Record<string, unknown>) => (config: KubeconfigText) => config.users.forEach((one) => (one.user = user))

describe('a kubeconfig', () => {
  let api: Proxy
  before(async () => {
    await quitAll()
    await ensureManager()
    api = await loopbackApi()
    await kubectl('create', 'serviceaccount', 'tpx-test-token')
    await kubectl(
      'create',
      'clusterrolebinding',
      'tpx-test-token',
      '--clusterrole',
      'cluster-admin',
      '--serviceaccount',
      'default:tpx-test-token',
    )
    const looker = ['--verb', 'get,list', '--resource', 'pods,services,namespaces']
    await kubectl('create', 'clusterrole', 'tpx-test-looker', ...looker)
    await kubectl(
      'create',
      'clusterrolebinding',
      'tpx-test-looker',
      '--clusterrole',
      'tpx-test-looker',
      '--user',
      'tpx-test-looker',
      '--group',
      'tpx-test-lookers',
    )
  })
  after(async () => {
    await quitAll()
    await kubectl('delete', 'clusterrolebinding,clusterrole', 'tpx-test-token', 'tpx-test-looker', '--ignore-not-found')
    await kubectl('delete', 'serviceaccount', 'tpx-test-token')
    await api[Symbol.asyncDispose]()
    folder[Symbol.dispose]()
  })

  afterEach(quitAll)

  test('with a client certificate in files, relative to the kubeconfig, and the API on 127.0.0.1', async () => {
    const { clusters, users } = clusterKubeconfig()
    folder.file('ca.crt', bytes(clusters[0]?.cluster['certificate-authority-data']))
    folder.file('client.crt', bytes(users[0]?.user['client-certificate-data']))
    folder.file('client.key', bytes(users[0]?.user['client-key-data']))
    await works(
      change((config) => {
        setServer(config, `https://127.0.0.1:${api.port}`)
        for (const { cluster } of config.clusters) {
          delete cluster['certificate-authority-data']
          cluster['certificate-authority'] = 'ca.crt'
        }
        asUser({ 'client-certificate': 'client.crt', 'client-key': 'client.key' })(config)
      }),
    )
  })

  test('with a token file, which is read again', async () => {
    const token = async () => (await kubectl('create', 'token', 'tpx-test-token')).trim()
    const file = folder.file('token', await token())
    const words = change(asUser({ tokenFile: 'token' }))
    await tpxOk(['connect', '--name', name, ...words])
    folder.file('token', 'worthless')
    const stateOf = async () =>
      (
        (await tpxOk(['status', '--output', 'json'])).json as {
          connections: { legs: { detail?: string; name: string; state: string }[] }[]
        }
      ).connections[0]?.legs.find((leg) => leg.name === 'api')
    const inState = (state: string) =>
      eventually(
        `the API to be ${state}`,
        async () => {
          const leg = await stateOf()
          return leg?.state === state && leg
        },
        5000,
      )
    const down = await inState('down')
    assert.match(down.detail ?? '', /credentials are no longer accepted/)
    folder.file('token', await token())
    assert.ok(readFileSync(file, 'utf8') !== 'worthless')
    await inState('up')
    await tpxOk(['quit', '--use', name])
  })

  test('of several files, with --context, and the namespace of the context', async () => {
    const users = folder.kubeconfig((config) => Object.assign(config, { clusters: [], contexts: [], 'current-context': '' }))
    const others = folder.kubeconfig((config) => {
      const [first] = config.contexts
      Object.assign(config, { 'current-context': '', users: [] })
      config.contexts.push({ context: { ...first?.context, namespace: 'kube-system' }, name: 'the-other' })
    })
    const env = { KUBECONFIG: [users, folder.path + '/not-there', others].join(delimiter) }
    const { context, namespace } = await works(['--context', 'the-other'], env)
    assert.deepEqual([context, namespace], ['the-other', 'kube-system'])
    const { hint } = await fails(['--context', 'the-othr'], 'CONTEXT_NOT_FOUND', env)
    assert.match(hint, /the-other/)
  })

  test('with proxy-url: an HTTP proxy that asks for a password, and a SOCKS5 proxy', async () => {
    await using proxy = await connectProxy({ credentials: 'me:s3cret' })
    const via = (url: string) => change((config) => config.clusters.forEach(({ cluster }) => (cluster['proxy-url'] = url)))
    await works(via(`http://me:s3cret@127.0.0.1:${proxy.port}`))
    assert.ok(proxy.used.length >= 3, 'requests and port-forwards go through it')
    await using socks = await socksProxy()
    await works(via(`socks5://127.0.0.1:${socks.port}`))
    assert.ok(socks.used.length >= 3)
    const { message } = await fails(via(`http://me:wrong@127.0.0.1:${proxy.port}`), 'KUBERNETES_UNREACHABLE')
    assert.match(message, /The proxy "http:\/\/127\.0\.0\.1:\d+" does not connect .*407/)
    assert.doesNotMatch(message, /wrong/)
  })

  test('with a plugin that hands out a client certificate, through an HTTPS proxy', async () => {
    const tls = await selfSigned(new Date(Date.now() + 3_600_000))
    await using proxy = await connectProxy({ tls })
    const { users } = clusterKubeconfig()
    const status = {
      clientCertificateData: bytes(users[0]?.user['client-certificate-data']),
      clientKeyData: bytes(users[0]?.user['client-key-data']),
      expirationTimestamp: new Date(Date.now() + 3_600_000).toISOString(),
    }
    folder.file('answer', JSON.stringify({ apiVersion: 'client.authentication.k8s.io/v1', kind: 'ExecCredential', status }))
    const command = folder.file('give-certificate', `#!/bin/sh\ncat ${folder.path}/answer\n`, 0o700)
    const words = change((config) => {
      for (const { cluster } of config.clusters) cluster['proxy-url'] = `https://127.0.0.1:${proxy.port}`
      asUser({ exec: { apiVersion: 'client.authentication.k8s.io/v1', command, interactiveMode: 'Never' } })(config)
    })
    await works(words, { NODE_EXTRA_CA_CERTS: folder.file('proxy.crt', tls.cert) })
    assert.ok(proxy.used.length >= 3)
  })

  test('with the proxy of the environment, which a link that is started again still knows', async () => {
    await using proxy = await connectProxy()
    await tpxOk(['connect', '--name', name], { env: { HTTPS_PROXY: `http://127.0.0.1:${proxy.port}` } })
    const { json } = await tpxOk(['status', '--output', 'json'])
    process.kill(Number((json as { connections: { link: { pid: number } }[] }).connections[0]?.link.pid), 'SIGKILL')
    const used = proxy.used.length
    await tpxOk(['list', '--use', name])
    assert.ok(proxy.used.length > used)
    await tpxOk(['quit', '--use', name])
  })

  test('with --as: rights are those of the impersonated user, also after the link was killed', async () => {
    const nobody = await fails(['--as', 'tpx-test-nobody'], 'KUBERNETES_FORBIDDEN')
    assert.match(nobody.message, /tpx-test-nobody/)
    assert.match(nobody.hint, /kubectl auth can-i/)
    for (const words of [
      ['--as', 'tpx-test-looker'],
      ['--as', 'tpx-test-nobody', '--as-group', 'tpx-test-lookers'],
    ]) {
      const looker = await fails(words, 'KUBERNETES_FORBIDDEN')
      assert.match(looker.message, /pods\/portforward/)
      assert.match(looker.hint, /can-i create pods\/portforward -n ambassador/)
    }

    const account = 'system:serviceaccount:default:tpx-test-token'
    await tpxOk(['connect', '--name', name, '--as', account])
    const pidOf = async () =>
      ((await tpxOk(['status', '--output', 'json'])).json as { connections: { link: { pid: number } }[] }).connections[0]?.link.pid
    process.kill(Number(await pidOf()), 'SIGKILL')
    const command = readFileSync(`/proc/${await pidOf()}/cmdline`, 'utf8').split('\0')
    assert.ok(command.includes(`--as=${account}`), command.join(' '))
    const { json } = await tpx(['connect', '--name', name, '--output', 'json'])
    assert.equal((json as { error: { code: string } }).error.code, 'CONNECTION_EXISTS', 'it is not a connection of the user')
    await tpxOk(['quit', '--use', name])
    // What watched over the killed link must not start it again after the end.
    await new Promise((resolve) => setTimeout(resolve, 2500))
    assert.equal(existsSync(runtimeDir(name)), false, 'no link is left')
  })

  test('with a user who may not impersonate', async () => {
    const token = (await kubectl('create', 'token', 'default', '--namespace', 'default')).trim()
    const { hint } = await fails([...change(asUser({ token })), '--as', 'jane'], 'KUBERNETES_FORBIDDEN')
    assert.match(hint, /can-i impersonate/)
  })

  test('that is wrong is told so within 5 s', async () => {
    const server = (url: string) => change((config) => config.clusters.forEach(({ cluster }) => (cluster['server'] = url)))
    assert.match((await fails(server('https://127.0.0.1:1'), 'KUBERNETES_UNREACHABLE')).message, /refuses connections/)
    const silent = createServer(() => {}).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { port } = silent.address() as AddressInfo
    assert.match((await fails(server(`https://127.0.0.1:${port}`), 'KUBERNETES_UNREACHABLE')).message, /does not answer/)
    silent.close()
    assert.match((await fails(server('https://no-such-name.invalid'), 'KUBERNETES_UNREACHABLE')).hint, /VPN|network/)
    const untrusted = change((config) => config.clusters.forEach(({ cluster }) => delete cluster['certificate-authority-data']))
    assert.match((await fails(untrusted, 'KUBERNETES_CERTIFICATE_INVALID')).hint, /certificate-authority/)
    const misnamed = change((config) => config.clusters.forEach(({ cluster }) => (cluster['tls-server-name'] = 'other.example.com')))
    assert.match((await fails(misnamed, 'KUBERNETES_CERTIFICATE_INVALID')).hint, /tls-server-name/)
    await fails(change(asUser({ token: 'not-a-token' })), 'KUBERNETES_UNAUTHORIZED')
    const expired = await selfSigned(new Date('2020-01-02T00:00:00Z'))
    const base64 = (text: string): string => Buffer.from(text).toString('base64')
    const user = asUser({ 'client-certificate-data': base64(expired.cert), 'client-key-data': base64(expired.key) })
    assert.match((await fails(change(user), 'KUBERNETES_UNAUTHORIZED')).message, /client certificate expired on Jan/)
    const stale = createSecureServer(expired).listen(0, '127.0.0.1')
    await once(stale, 'listening')
    const address = `https://127.0.0.1:${(stale.address() as AddressInfo).port}`
    const trusting = change((config) =>
      config.clusters.forEach((one) => (one.cluster = { 'certificate-authority-data': base64(expired.cert), server: address })),
    )
    const { hint, message } = await fails(trusting, 'KUBERNETES_CERTIFICATE_INVALID')
    stale.close()
    assert.match(message, /has expired/)
    assert.match(hint, /Renew|clock/)
    assert.match((await fails(change(asUser({ tokenFile: '/no/such/file' })), 'KUBERNETES_UNAUTHORIZED')).message, /no\/such\/file/)
  })
})
