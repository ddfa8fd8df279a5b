import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { after, describe, it } from 'node:test'
import { openPortForward, portForwardTransport } from '../../src/kube/port-forward/open-port-forward.ts'
import { configFor, type FakeApi, type FakeApiOptions, fakeApiServer } from '../fakes/api-server.ts'
import { portForwardSuite } from './port-forward-suite.ts'

const echo = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => {}).pipe(socket))
const reset = createServer((socket) => socket.on('error', () => {}).once('data', () => socket.resetAndDestroy()))
for (const server of [echo, reset]) {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  server.unref()
}

const portOf = (server: typeof echo): number => (server.address() as AddressInfo).port
const backends = { 7001: portOf(echo), 7003: portOf(reset) }
const shared = await fakeApiServer({ backends, pods: ['pod'] })
after(async () => {
  await shared[Symbol.asyncDispose]()
  echo.close()
  reset.close()
})

portForwardSuite('the fake API server', async () => ({
  echoPort: 7001,
  kubeConfig: shared.kubeConfig,
  namespace: 'default',
  pod: 'pod',
  refusedPort: 7999,
  resetPort: 7003,
}))

const forbidden = JSON.stringify({ kind: 'Status', reason: 'Forbidden', message: 'no' })

describe('openPortForward() fallback', { timeout: 20_000 }, () => {
  const start = (options: FakeApiOptions): Promise<FakeApi> => fakeApiServer({ backends, pods: ['pod'], ...options })
  const openEcho = async (api: FakeApi): Promise<void> => {
    const stream = await openPortForward(api.kubeConfig, { namespace: 'default', pod: 'pod', port: 7001 })
    stream.write('x')
    await once(stream, 'data')
    stream.destroy()
  }

  it('uses SPDY first', async () => {
    await using api = await start({})
    await openEcho(api)
    assert.deepEqual(api.transports, ['spdy'])
  })

  for (const refusal of [400, 403, 426, 502, 'reset'] as const) {
    it(`goes on when a proxy answers SPDY with ${refusal}, and remembers what worked`, async () => {
      await using api = await start({ refuse: { spdy: refusal } })
      await openEcho(api)
      assert.deepEqual(api.transports, ['spdy', 'spdy-over-websocket'])
      assert.equal(portForwardTransport(api.kubeConfig), 'spdy-over-websocket')
      await openEcho(api)
      assert.deepEqual(api.transports.slice(2), ['spdy-over-websocket'])
    })
  }

  it('ends at the plain WebSocket where the server is old', async () => {
    await using api = await start({ refuse: { spdy: 400, 'spdy-over-websocket': 403 } })
    await openEcho(api)
    assert.deepEqual(api.transports, ['spdy', 'spdy-over-websocket', 'websocket'])
  })

  it('tries the others again when the remembered way stops working', async () => {
    await using api = await start({ refuse: { spdy: 400 } })
    await openEcho(api)
    api.options.refuse = { 'spdy-over-websocket': 502 }
    await openEcho(api)
    assert.equal(portForwardTransport(api.kubeConfig), 'spdy')
  })

  it('says KUBERNETES_UNAUTHORIZED at once for 401', async () => {
    await using api = await start({ refuse: { spdy: 401 } })
    await assert.rejects(openEcho(api), { code: 'KUBERNETES_UNAUTHORIZED' })
    assert.deepEqual(api.transports, ['spdy'])
  })

  it('tries the verb get where create is forbidden, then says KUBERNETES_FORBIDDEN with the verb create', async () => {
    await using api = await start({ refuse: { spdy: 403, 'spdy-over-websocket': 403 }, refusalBody: forbidden })
    await assert.rejects(openEcho(api), { code: 'KUBERNETES_FORBIDDEN', hint: /can-i create pods\/portforward -n default/ })
    assert.deepEqual(api.transports, ['spdy', 'spdy-over-websocket'])
  })

  it('says PORT_FORWARD_FAILED with a hint at proxies when all are refused', async () => {
    await using api = await start({ refuse: { spdy: 502, 'spdy-over-websocket': 502, websocket: 502 } })
    await assert.rejects(openEcho(api), { code: 'PORT_FORWARD_FAILED', hint: /Upgrade/ })
  })

  it('says KUBERNETES_UNREACHABLE where nobody listens', async () => {
    const kubeConfig = configFor('http://127.0.0.1:1')
    await assert.rejects(openPortForward(kubeConfig, { namespace: 'default', pod: 'pod', port: 1 }), {
      code: 'KUBERNETES_UNREACHABLE',
      message: /"http:\/\/127.0.0.1:1" refuses connections/,
    })
  })

  it('stops when its signal aborts', async () => {
    await using api = await start({ refuse: { spdy: 'hang' } })
    const signal = AbortSignal.timeout(40)
    await assert.rejects(openPortForward(api.kubeConfig, { namespace: 'default', pod: 'pod', port: 7001 }, { signal }), {
      name: 'TimeoutError',
    })
    assert.deepEqual(api.transports, ['spdy'])
  })
})
