import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TpxError } from '../../../src/base/error.ts'
import { apiError, readStatus } from '../../../src/kube/api-error.ts'
import { HttpStatusError } from '../../../src/kube/api-request.ts'
import { selfSigned } from '../../helpers/certificate.ts'
import { configFor } from '../../fakes/api-server.ts'

const kubeConfig = configFor('https://api:6443')
const attempt = { name: 'web', namespace: 'team', resource: 'pods', verb: 'get' }
const status = (message: string): string => JSON.stringify({ kind: 'Status', message })

test('apiError() maps 403 to KUBERNETES_FORBIDDEN with the server, the verb and how to check', () => {
  const error = apiError(new HttpStatusError(403, status('User "jane" cannot get resource "pods"')), kubeConfig, attempt)
  assert.equal(error.code, 'KUBERNETES_FORBIDDEN')
  assert.equal(
    error.message,
    'The Kubernetes API at "https://api:6443" refuses to get pods "web" in namespace "team": User "jane" cannot get resource "pods"',
  )
  assert.match(error.hint ?? '', /kubectl auth can-i get pods -n team/)
})

test('apiError() maps 401 to KUBERNETES_UNAUTHORIZED', () => {
  assert.equal(apiError(new HttpStatusError(401, ''), kubeConfig, attempt).code, 'KUBERNETES_UNAUTHORIZED')
})

test('apiError() says when it is the client certificate that expired', async () => {
  const withCertificate = configFor('https://api:6443')
  const { cert } = await selfSigned(new Date('2020-01-02T00:00:00Z'))
  withCertificate.users = [{ certData: Buffer.from(cert).toString('base64'), name: 'fake' }]
  const error = apiError(new HttpStatusError(401, ''), withCertificate, attempt)
  assert.equal(error.code, 'KUBERNETES_UNAUTHORIZED')
  assert.match(error.message, /the client certificate expired on Jan {2}2 00:00:00 2020 GMT/)
  assert.match(error.hint ?? '', /Fetch the kubeconfig again/)
})

test('apiError() leaves a TpxError as it is', () => {
  const own = new TpxError('POD_NOT_FOUND', 'No')
  assert.equal(apiError(own, kubeConfig, attempt), own)
})

const failures: [cause: object, text: RegExp][] = [
  [{ code: 'ECONNREFUSED' }, /refuses connections \(ECONNREFUSED\)/],
  [{ code: 'ENOTFOUND' }, /does not resolve/],
  [{ name: 'TimeoutError' }, /does not answer/],
  [{ message: 'fetch failed', cause: Object.assign(new Error('x'), { code: 'ECONNREFUSED' }) }, /refuses connections/],
  [{ errors: [Object.assign(new Error('x'), { code: 'ETIMEDOUT' })] }, /does not answer/],
]
for (const [properties, text] of failures)
  test(`apiError() says KUBERNETES_UNREACHABLE for ${JSON.stringify(properties)}`, () => {
    const error = apiError(Object.assign(new Error('low level'), properties), kubeConfig, attempt)
    assert.equal(error.code, 'KUBERNETES_UNREACHABLE')
    assert.match(error.message, text)
    assert.match(error.message, /"https:\/\/api:6443"/)
  })

const certificates: [code: string, text: RegExp, hint: RegExp][] = [
  ['DEPTH_ZERO_SELF_SIGNED_CERT', /cannot be trusted/, /certificate-authority/],
  ['CERT_HAS_EXPIRED', /has expired/, /Renew/],
  ['ERR_TLS_CERT_ALTNAME_INVALID', /of another name/, /tls-server-name/],
]
for (const [code, text, hint] of certificates)
  test(`apiError() says KUBERNETES_CERTIFICATE_INVALID for ${code}`, () => {
    const error = apiError(Object.assign(new Error('low level'), { code }), kubeConfig, attempt)
    assert.equal(error.code, 'KUBERNETES_CERTIFICATE_INVALID')
    assert.match(error.message, text)
    assert.match(error.hint ?? '', hint)
  })

test('apiError() names the proxy, without its password, where that is what fails', () => {
  const proxied = configFor('https://api:6443')
  proxied.clusters = proxied.clusters.map((cluster) => ({ ...cluster, proxyUrl: 'http://me:s3cret@proxy:3128' }))
  for (const cause of [
    { code: 'ECONNREFUSED' },
    { message: 'Bad response: 407' },
    { message: 'Socks5 proxy rejected connection - NotAllowed' },
  ]) {
    const error = apiError(Object.assign(new Error('x'), cause), proxied, attempt)
    assert.equal(error.code, 'KUBERNETES_UNREACHABLE')
    assert.match(error.message, /The proxy "http:\/\/proxy:3128" /)
    assert.match(error.hint ?? '', /proxy-url/)
  }
  assert.match(apiError(Object.assign(new Error('x'), { code: 'ETIMEDOUT' }), proxied, attempt).message, /^The Kubernetes API/)
})

test('apiError() tells a missing permission to impersonate from others', () => {
  const error = apiError(
    new HttpStatusError(403, status('users "jane" is forbidden: User "x" cannot impersonate resource "users"')),
    kubeConfig,
    attempt,
  )
  assert.match(error.hint ?? '', /can-i impersonate users/)
})

test('readStatus() knows a Kubernetes Status from a page of a proxy', () => {
  assert.equal(readStatus(status('no'))?.message, 'no')
  for (const body of ['', '<html>', '{}', 'null', undefined]) assert.equal(readStatus(body), undefined)
})
