import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { ensureManager, leftovers, probe, quitAll } from '../helpers/cluster.ts'
import { docker, eventually, kubectl, tpx, tpxOk } from '../helpers/tpx.ts'

for (const carrier of ['unix', 'exec'] as const) {
  const name = `connect-${carrier}`

  test(`connection over the ${carrier} carrier`, async (t) => {
    before(async () => {
      await quitAll()
      await ensureManager()
    })
    after(quitAll)

    await t.test('tpx connect reports the session and the subnets', async () => {
      const { json } = await tpxOk(['connect', '--name', name, '--carrier', carrier, '--output', 'json'])
      const { isNew, session } = json as { isNew: boolean; session: { podSubnets: string[]; serviceSubnets: string[] } }
      assert.equal(isNew, true)
      assert.deepEqual(session.serviceSubnets, ['10.96.0.0/16'])
      assert.ok(session.podSubnets.length >= 1 && session.podSubnets.every((cidr) => cidr.startsWith('10.244.')), session.podSubnets.join())
    })

    await t.test('tpx connect again uses the connection that is there', async () => {
      const { json } = await tpxOk(['connect', '--name', name, '--output', 'json'])
      assert.equal((json as { isNew: boolean }).isNew, false)
    })

    await t.test('tpx status shows every leg up', async () => {
      const { json } = await tpxOk(['status', '--output', 'json'])
      const [one] = (json as { connections: { link: { carrier: string }; state: string; tunnel: { roundTripMs: number } }[] }).connections
      assert.equal(one?.state, 'connected')
      assert.equal(one.link.carrier, carrier)
      assert.ok(one.tunnel.roundTripMs > 0)
    })

    await t.test('tpx list names the workloads of the namespace', async () => {
      const { json } = await tpxOk(['list', '--output', 'json'])
      const names = (json as { kind: string; name: string }[]).map((one) => `${one.kind}/${one.name}`)
      for (const wanted of ['web-app', 'store', 'caller', 'tcp', 'no-service'])
        assert.ok(
          names.some((one) => one.endsWith(`/${wanted}`)),
          names.join(),
        )
    })

    await t.test('a container that joins reaches Services by short name, namespace and FQDN', async () => {
      for (const host of ['web-app', 'web-app.default', 'web-app.default.svc', 'web-app.default.svc.cluster.local'])
        assert.match(await probe(name, 'get', `http://${host}/`), /NAME=web-app-in-cluster/, host)
      assert.match(await probe(name, 'lookup', 'kubernetes.default'), /10\.96\.0\.1/)
    })

    await t.test('names that do not exist are not found, and fast', async () => {
      assert.match(await probe(name, 'lookup', 'no-such-service.default.svc.cluster.local'), /no such host/i)
    })

    await t.test('connect() tells what the far side said', async () => {
      assert.match(await probe(name, 'tcp', 'tcp:7001'), /connected/)
      assert.match(await probe(name, 'tcp', 'tcp:7009'), /refused/)
      const pod = (await kubectl('get', 'pod', '--selector', 'app=tcp', '--output', 'jsonpath={.items[0].status.podIP}')).trim()
      assert.match(await probe(name, 'tcp', `${pod}:7001`), /connected/)
      assert.match(await probe(name, 'tcp', `${pod}:7009`), /refused/)
    })

    await t.test('an address without a Pod is unreachable or silent, never connected', async () => {
      assert.match(await probe(name, 'tcp', '10.244.1.250:80'), /no route|unreachable|timeout|timed out/)
    })

    await t.test('half-close keeps both directions whole', async () => {
      assert.match(await probe(name, 'halfclose', 'tcp:7002', '3000000'), /3000000/)
    })

    await t.test('UDP datagrams come back', async () => {
      assert.match(await probe(name, 'udp', 'tcp:7006', 'hello-udp'), /hello-udp/)
    })

    await t.test('tpx quit leaves nothing behind', async () => {
      await tpxOk(['quit', '--use', name])
      assert.equal(await leftovers(), '')
      await eventually(
        'the holder to be gone',
        async () => (await docker('ps', '--all', '--quiet', '--filter', `name=tpx-${name}`)) === '',
        5000,
      )
      const { json, status } = await tpx(['list', '--output', 'json'])
      assert.equal(status, 2)
      assert.equal((json as { error: { code: string } }).error.code, 'CONNECTION_NOT_FOUND')
    })
  })
}
