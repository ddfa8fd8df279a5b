import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { TpxError } from '../../../src/base/error.ts'
import { Readiness } from '../../../src/tunnel/readiness.ts'
import { describeRetry, StatusLegs } from '../../../src/tunnel/status-legs.ts'
import { eventually, isUp, startFixture } from './tunnel-fixture.ts'

async function start(t: TestContext) {
  const fixture = await startFixture(t)
  const { attachments, data, session: manager } = fixture
  const readiness = new Readiness({ data, manager })
  const legs = new StatusLegs({ attachments, data, manager, readiness })
  t.after(() => legs[Symbol.dispose]())
  await eventually('up', () => isUp(fixture) && data.state.value.isUp)
  return { ...fixture, legs, readiness }
}

test('StatusLegs tells each leg with its round trip and its last proof', async (t) => {
  const { legs, readiness, session } = await start(t)
  await eventually('a beat', () => session.roundTripMs !== null)
  const [manager, data, network] = legs.list()
  assert.deepEqual([manager?.name, manager?.state, data?.name, data?.state], ['manager', 'up', 'data', 'up'])
  assert.ok((manager?.roundTripMs ?? 0) > 0 && (manager?.lastProvenMs ?? -1) >= 0)
  assert.deepEqual([network?.name, network?.state, network?.detail], ['network', 'connecting', 'Setting the routes'])
  readiness.routesSet()
  readiness.dnsListens()
  assert.equal(legs.list()[2]?.state, 'up')
})

test('StatusLegs tells why the manager is away, what is done, and since when', async (t) => {
  const fixture = await start(t)
  const { legs, link, manager, session } = fixture
  const before = legs.list()[0]?.since
  link.down = new TpxError('POD_NOT_FOUND', 'Service "traffic-manager" has no ready Pod: Pod "m": ImagePullBackOff', {
    hint: 'kubectl get pods',
  })
  manager.cut()
  await eventually('down', () => session.state.value.error?.code === 'POD_NOT_FOUND' && session.nextTryAt !== null)
  const [leg, data] = legs.list()
  assert.equal(leg?.state, 'down')
  assert.match(leg.detail ?? '', /ImagePullBackOff/)
  assert.match(leg.doing ?? '', /^reconnecting(, next try in \d\.\d s)?$/)
  assert.equal(leg.next, 'kubectl get pods')
  assert.notEqual(leg.since, before)
  assert.deepEqual([data?.name, data?.doing], ['data', 'reconnecting'])
  assert.notEqual(data?.state, 'up')
  link.down = null
  await eventually('up again', () => isUp(fixture))
  assert.equal(legs.list()[0]?.state, 'up')
  assert.equal(legs.list()[0]?.doing, undefined)
})

test('describeRetry() says when', () => {
  assert.equal(describeRetry(1800, 1000), 'reconnecting, next try in 0.8 s')
  assert.equal(describeRetry(900, 1000), 'reconnecting')
  assert.equal(describeRetry(null, 1000), 'reconnecting')
})
