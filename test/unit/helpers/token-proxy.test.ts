import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { describe, test } from 'node:test'
import { emptyKubeconfig } from '../../../src/kube/client-config.ts'
import { apiGet } from '../../../src/kube/api-request.ts'
import { openPortForward } from '../../../src/kube/port-forward/open-port-forward.ts'
import { fakeApiServer } from '../../fakes/api-server.ts'
import { TokenProxy } from '../../helpers/token-proxy.ts'

function clientOf(proxy: TokenProxy, token: string) {
  const kubeConfig = emptyKubeconfig()
  const { server = '', 'tls-server-name': tlsServerName = '' } = proxy.cluster
  kubeConfig.loadFromOptions({
    clusters: [{ name: 'c', server, caData: proxy.cluster['certificate-authority-data'], skipTLSVerify: false, tlsServerName }],
    contexts: [{ cluster: 'c', name: 'x', user: 'u' }],
    currentContext: 'x',
    users: [{ name: 'u', token }],
  })
  return kubeConfig
}

const get = (proxy: TokenProxy, token: string) =>
  apiGet<{ kind: string }>(clientOf(proxy, token), '/api/v1/pods', { attempt: { resource: 'pods', verb: 'list' } })

describe('TokenProxy', () => {
  test('lets in by token, refuses with a Status, and passes upgrades until it cuts them', async () => {
    const echo = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1')
    using _echo = { [Symbol.dispose]: () => void echo.close() }
    await once(echo, 'listening')
    await using api = await fakeApiServer({
      backends: { 80: (echo.address() as AddressInfo).port },
      objects: { '/api/v1/pods': { kind: 'PodList' } },
      pods: ['web'],
    })
    await using proxy = await TokenProxy.start(api.kubeConfig)
    await assert.rejects(get(proxy, 'one'), { code: 401 })
    proxy.tokens.add('one')
    assert.equal((await get(proxy, 'one')).kind, 'PodList')

    const target = { namespace: 'default', pod: 'web', port: 80 }
    const stream = await openPortForward(clientOf(proxy, 'one'), target, {})
    stream.write('hello')
    assert.equal(String((await once(stream, 'data'))[0]), 'hello')
    proxy.tokens.clear()
    const lost = assert.rejects(once(stream, 'end'), { code: 'PORT_FORWARD_FAILED' })
    proxy.cut()
    await lost
    await assert.rejects(openPortForward(clientOf(proxy, 'one'), target, {}), { code: 'KUBERNETES_UNAUTHORIZED' })
    assert.ok(proxy.refused >= 2)
  })
})
