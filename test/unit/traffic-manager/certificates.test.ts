import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import tls from 'node:tls'
import { TpxError } from '../../../src/base/error.ts'
import {
  areUsable,
  certificateNames,
  loadCertificates,
  makeCertificates,
  patchWebhookCaBundle,
} from '../../../src/traffic-manager/certificates.ts'
import { FakeCluster } from '../../fakes/fake-cluster.ts'

const NAMES = certificateNames('ambassador')
const DAY_MS = 86_400_000
const made = await makeCertificates(NAMES)

function aCluster(data?: Record<string, string>): FakeCluster {
  const cluster = new FakeCluster()
  cluster.putSecret({ metadata: { name: 'mutator-webhook-tls', namespace: 'ambassador' }, ...(data ? { data } : {}) })
  return cluster
}

const load = (secrets: FakeCluster) => loadCertificates({ namespace: 'ambassador', secrets })
const kept = (cluster: FakeCluster) => cluster.secrets.get('ambassador/mutator-webhook-tls')

test('certificateNames() are the names by which API server and agents call the manager', () => {
  assert.deepEqual(NAMES, [
    'agent-injector.ambassador',
    'agent-injector.ambassador.svc',
    'traffic-manager.ambassador',
    'traffic-manager.ambassador.svc',
  ])
})

test('makeCertificates() makes a CA for ten years and a leaf for one, both P-256', () => {
  const [ca, leaf] = [new X509Certificate(made.ca), new X509Certificate(made.cert)]
  assert.equal(ca.ca, true)
  assert.equal(leaf.ca, false)
  assert.equal(leaf.subject, 'CN=agent-injector')
  assert.equal(leaf.subjectAltName, NAMES.map((name) => `DNS:${name}`).join(', '))
  assert.deepEqual(leaf.keyUsage, ['1.3.6.1.5.5.7.3.1'])
  assert.equal(leaf.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1')
  const days = ({ validToDate }: X509Certificate): number => Math.round((validToDate.getTime() - Date.now()) / DAY_MS)
  assert.deepEqual([days(ca), days(leaf)], [3650, 365])
  assert.ok(leaf.checkPrivateKey(createPrivateKey(made.key)))
  assert.notEqual(ca.serialNumber, leaf.serialNumber)
})

test('makeCertificates() makes a chain that openssl verifies strictly', (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'tpx-certificates-'))
  context.after(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'ca.crt'), made.ca)
  writeFileSync(join(folder, 'tls.crt'), made.cert)
  const words = ['verify', '-x509_strict', '-purpose', 'sslserver', '-verify_hostname', NAMES[1] ?? '', '-CAfile', 'ca.crt', 'tls.crt']
  try {
    assert.match(execFileSync('openssl', words, { cwd: folder, encoding: 'utf8', stdio: 'pipe' }), /tls\.crt: OK/)
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') context.skip('openssl is not installed')
    else throw error
  }
})

for (const servername of NAMES) {
  test(`makeCertificates() makes a leaf that a TLS client accepts for ${servername}`, async () => {
    const server = tls.createServer({ cert: made.cert, key: made.key }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const client = tls.connect({ ca: made.ca, host: '127.0.0.1', port: (server.address() as AddressInfo).port, servername })
    await once(client, 'secureConnect')
    assert.ok(client.authorized)
    client.destroy()
    server.close()
  })
}

test('loadCertificates() fills the empty Secret and takes what it finds there the next time', async () => {
  const cluster = aCluster()
  const first = await load(cluster)
  const { data } = kept(cluster) ?? {}
  assert.deepEqual(Object.keys(data ?? {}).sort(), ['ca.crt', 'tls.crt', 'tls.key'])
  assert.equal(Buffer.from(data?.['tls.key'] ?? '', 'base64').toString(), first.key)
  assert.deepEqual(await load(cluster), first)
})

test('loadCertificates() takes the certificates of a manager that was faster', async () => {
  const cluster = aCluster()
  let theirs: Awaited<ReturnType<typeof load>> | undefined
  cluster.replaceSecret = async (secret) => {
    Reflect.deleteProperty(cluster, 'replaceSecret')
    theirs = await load(cluster)
    return cluster.replaceSecret(secret)
  }
  assert.deepEqual(await load(cluster), theirs)
})

test('loadCertificates() makes new ones when those of the Secret are rubbish', async () => {
  const cluster = aCluster({ 'ca.crt': 'AAAA', 'tls.crt': 'AAAA', 'tls.key': 'AAAA' })
  assert.ok(areUsable(await load(cluster), NAMES))
})

test('loadCertificates() says which Secret is missing', async () => {
  await assert.rejects(
    load(new FakeCluster()),
    (error) => error instanceof TpxError && error.code === 'CHART_INVALID' && /mutator-webhook-tls/.test(error.message),
  )
})

const other = await makeCertificates(NAMES)
for (const [title, certificates, days, expected] of [
  ['they are fresh', made, 0, true],
  ['31 days are left', made, 365 - 31, true],
  ['29 days are left', made, 365 - 29, false],
  ['they are from the future', made, -1, false],
  ['the key is another one', { ...made, key: other.key }, 0, false],
  ['the CA is another one of the same name', { ...made, ca: other.ca }, 0, false],
  ['the CA is no CA', { ...made, ca: made.cert }, 0, false],
  ['they are for another namespace', await makeCertificates(certificateNames('elsewhere')), 0, false],
] as const) {
  test(`areUsable() is ${expected} when ${title}`, () => {
    assert.equal(areUsable(certificates, NAMES, new Date(Date.now() + days * DAY_MS)), expected)
  })
}

test('patchWebhookCaBundle() sets the CA once', async () => {
  const cluster = aCluster()
  const name = 'agent-injector-webhook-ambassador'
  const webhook = { admissionReviewVersions: ['v1'], clientConfig: {}, name: 'agent-injector.tpx.dev', sideEffects: 'None' }
  cluster.webhooks.set(name, { webhooks: [webhook] })
  assert.equal(await patchWebhookCaBundle({ ca: made.ca, namespace: 'ambassador', webhooks: cluster }), true)
  assert.equal(cluster.webhooks.get(name)?.webhooks?.[0]?.clientConfig.caBundle, Buffer.from(made.ca).toString('base64'))
  cluster.patchWebhookConfiguration = () => assert.fail('patched again')
  assert.equal(await patchWebhookCaBundle({ ca: made.ca, namespace: 'ambassador', webhooks: cluster }), true)
})

test('patchWebhookCaBundle() is false when the installation has no webhook', async () => {
  assert.equal(await patchWebhookCaBundle({ ca: made.ca, namespace: 'ambassador', webhooks: aCluster() }), false)
})
