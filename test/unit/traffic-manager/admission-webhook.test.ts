import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { silentLogger } from '../../../src/base/logger.ts'
import { type OnPod, serveWebhook } from '../../../src/traffic-manager/admission-webhook.ts'
import { certificateNames, makeCertificates } from '../../../src/traffic-manager/certificates.ts'
import { aPod } from '../../helpers/pods.ts'

const certificates = await makeCertificates(certificateNames('ambassador'))

type Reply = { body: string; status: number }

async function start(context: TestContext, onPod: OnPod): Promise<(method: string, path: string, body?: string) => Promise<Reply>> {
  const server = await serveWebhook({ budgetMs: 40, certificates, logger: silentLogger(), onPod, port: 0 })
  context.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  return async (method, path, body) => {
    const request = https.request({
      agent: false,
      ca: certificates.ca,
      host: '127.0.0.1',
      method,
      path,
      port,
      servername: 'agent-injector.ambassador.svc',
    })
    request.end(body)
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    let text = ''
    for await (const chunk of response.setEncoding('utf8')) text += String(chunk)
    return { body: text, status: response.statusCode ?? 0 }
  }
}

const review = (object: unknown = aPod()): string =>
  JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: { namespace: 'shop', object, operation: 'CREATE', uid: 'u-1' },
  })

test('serveWebhook() answers an AdmissionReview with the patch', async (context) => {
  const patch = [{ op: 'add' as const, path: '/metadata/annotations', value: { ü: '1' } }]
  const send = await start(context, (pod, namespace) => {
    assert.deepEqual([pod.metadata?.generateName, namespace], ['web-app-5c58b5b7c5-', 'shop'])
    return Promise.resolve(patch)
  })
  const { body, status } = await send('POST', '/traffic-agent?timeout=3s', review())
  assert.equal(status, 200)
  const answer = JSON.parse(body) as { response: { patch: string } }
  assert.deepEqual(JSON.parse(Buffer.from(answer.response.patch, 'base64').toString('utf8')), patch)
  assert.deepEqual(answer, {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: { allowed: true, patch: answer.response.patch, patchType: 'JSONPatch', uid: 'u-1' },
  })
})

test('serveWebhook() admits a Pod unchanged when there is nothing to patch', async (context) => {
  const send = await start(context, () => Promise.resolve([]))
  for (const object of [aPod(), null]) {
    assert.deepEqual(JSON.parse((await send('POST', '/traffic-agent', review(object))).body).response, { allowed: true, uid: 'u-1' })
  }
})

test('serveWebhook() admits a Pod with a warning when the injection fails', async (context) => {
  const send = await start(context, () => Promise.reject(new Error(`no way ${'x'.repeat(500)}`)))
  const { response } = JSON.parse((await send('POST', '/traffic-agent', review())).body) as {
    response: { allowed: boolean; warnings: string[] }
  }
  assert.equal(response.allowed, true)
  assert.match(response.warnings[0] ?? '', /^tpx: no traffic-agent was added: no way x+$/)
  assert.ok((response.warnings[0]?.length ?? 0) <= 250)
})

test('serveWebhook() admits a Pod with a warning when the injection takes too long', async (context) => {
  const send = await start(context, () => new Promise(() => {}))
  const { response } = JSON.parse((await send('POST', '/traffic-agent', review())).body) as {
    response: { allowed: boolean; warnings: string[] }
  }
  assert.equal(response.allowed, true)
  assert.match(response.warnings[0] ?? '', /more than 40 ms/)
})

for (const [title, method, path, body, status] of [
  ['a probe', 'GET', '/healthz', undefined, 200],
  ['another path', 'GET', '/', undefined, 404],
  ['another method', 'GET', '/traffic-agent', undefined, 405],
  ['text that is no JSON', 'POST', '/traffic-agent', '{', 400],
  ['JSON that is no review', 'POST', '/traffic-agent', '{"kind":"Pod"}', 400],
  ['null', 'POST', '/traffic-agent', 'null', 400],
  ['a body of more than 4 MiB', 'POST', '/traffic-agent', ' '.repeat(5 << 20), 413],
] as const) {
  test(`serveWebhook() answers ${status} to ${title}`, async (context) => {
    const send = await start(context, () => assert.fail('asked for a patch'))
    assert.equal((await send(method, path, body)).status, status)
  })
}
