import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { test } from 'node:test'
import packet from 'dns-packet'
import { TpxError } from '../../../src/base/error.ts'
import { ClientSettings } from '../../../src/tunnel/client-settings.ts'
import { makeResolver } from '../../../src/tunnel/dns-listener.ts'
import { VirtualAddresses } from '../../../src/tunnel/virtual-addresses.ts'
import type { ClientConfig } from '../../../src/wire/client-config.ts'
import { aRecords, makeQuery, read } from '../dns/dns-messages.ts'
import { eventually, type Fixture, isUp, settings, startFixture } from './tunnel-fixture.ts'

function resolverOf(fixture: Fixture, client: ClientConfig = {}, fallbackNameservers = '') {
  const settingsOfUser = new ClientSettings(client)
  const resolver = makeResolver({
    carrier: fixture.carrier,
    client: settingsOfUser,
    manager: fixture.session,
    routing: { addresses: new VirtualAddresses(), reverseSubnets: () => ['10.96.0.0/16', '10.244.0.0/16'] },
    settings: { ...settings, fallbackNameservers },
  })
  const ask = async (name: string, type = 'A') => read((await resolver.answer(makeQuery(name, type, { udpSize: 1232 })))!.message)
  return { ask, client: settingsOfUser }
}

test('makeResolver() takes mappings, excludes and the domain from the settings, also when they change', async (t) => {
  const fixture = await startFixture(t)
  await eventually('up', () => isUp(fixture))
  fixture.manager.lookup = ({ name }) =>
    name === 'web.shop.svc.corp.example.'
      ? { rCode: 0, rrs: aRecords('web.shop.svc.corp.example', '10.96.0.7') }
      : { rCode: 3, rrs: Buffer.alloc(0) }
  const { ask, client } = resolverOf(fixture, { cluster: { clusterDomain: '.Corp.Example.' } })
  assert.deepEqual((await ask('web')).answers, ['web A 10.96.0.7'])
  assert.equal((await ask('alias.shop.svc.corp.example')).rcode, 'NXDOMAIN')
  client.patch({ dns: { excludes: ['web'], mappings: [{ aliasFor: '192.0.2.1', name: 'alias' }] } })
  assert.deepEqual((await ask('alias.shop.svc.corp.example')).answers, ['alias.shop.svc.corp.example A 192.0.2.1'])
  assert.equal((await ask('web')).rcode, 'NXDOMAIN')
})

test('makeResolver() keeps to dns.lookupTimeout', async (t) => {
  const fixture = await startFixture(t)
  await eventually('up', () => isUp(fixture))
  fixture.manager.isFrozen = true
  t.after(() => void (fixture.manager.isFrozen = false))
  const { ask } = resolverOf(fixture, { dns: { lookupTimeout: 200 } })
  const began = performance.now()
  const { extendedError, rcode } = await ask('web.shop.svc.cluster.local')
  assert.equal(rcode, 'SERVFAIL')
  assert.match(extendedError ?? '', /^22 /)
  assert.ok(performance.now() - began < 1500)
})

test("makeResolver() asks the engine's name servers where there is no link, and names the cause where they say nothing", async (t) => {
  const fixture = await startFixture(t)
  await eventually('up', () => isUp(fixture))
  fixture.link.down = new TpxError('CARRIER_FAILED', 'The link process on the host is not there', { hint: 'tpx status' })
  const socket = createSocket('udp4')
  socket.on('message', (message, { address, port }) => {
    const { id, questions } = packet.decode(message)
    const answers = [{ data: '203.0.113.5', name: questions![0]!.name, ttl: 5, type: 'A' as const }]
    socket.send(packet.encode({ answers, id: id!, questions: questions!, type: 'response' }), port, address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  t.after(() => socket.close())
  const withFallback = resolverOf(fixture, {}, `127.0.0.1:${socket.address().port}`)
  assert.deepEqual((await withFallback.ask('www.example.com')).answers, ['www.example.com A 203.0.113.5'])
  const { extendedError, rcode } = await resolverOf(fixture, {}, '127.0.0.1:1').ask('www.example.com')
  assert.equal(rcode, 'SERVFAIL')
  assert.match(extendedError ?? '', /^23 .*The link process on the host is not there/)
})

test('makeResolver() keeps no answer over a lost session', async (t) => {
  const fixture = await startFixture(t)
  await eventually('up', () => isUp(fixture))
  let address = '10.96.0.7'
  fixture.manager.lookup = ({ name }) => ({ rCode: 0, rrs: aRecords(name.slice(0, -1), address) })
  const { ask } = resolverOf(fixture)
  assert.deepEqual((await ask('web')).answers, ['web A 10.96.0.7'])
  address = '10.96.0.8'
  assert.deepEqual((await ask('web')).answers, ['web A 10.96.0.7'])
  fixture.manager.cut()
  await eventually('noticed', () => !isUp(fixture))
  await eventually('up again', () => isUp(fixture))
  assert.deepEqual((await ask('web')).answers, ['web A 10.96.0.8'])
})
