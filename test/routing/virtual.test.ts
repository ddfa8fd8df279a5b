// Subnets under other addresses: overlaps with networks of the host and of Docker, --vnat, --proxy-via.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ensureManager, probe, quitAll, SAMPLE_IMAGE } from '../helpers/cluster.ts'
import { podAddress, routingOf, serviceAddress } from '../helpers/routing.ts'
import { docker, eventually, fromCluster, run, startTpx, tpx, tpxOk } from '../helpers/tpx.ts'

const name = 'virtual'
const VIRTUAL = /^246\.246\.\d+\.\d+$/
const lookup = async (host: string, type = 'A'): Promise<string> => (await probe(name, 'lookup', host, type)).trim()

describe('overlap with a network of the host', () => {
  const bridge = 'tpx-test-vpn'
  before(async () => {
    await quitAll()
    await ensureManager()
  })
  after(async () => {
    await quitAll()
    await run('ip', ['link', 'delete', bridge]).catch(() => {})
  })

  test('is found before it hurts: the Services are reached under virtual addresses, in the environment, too', async (t) => {
    try {
      await run('ip', ['link', 'add', bridge, 'type', 'bridge'])
      await run('ip', ['address', 'add', '10.96.200.1/24', 'dev', bridge])
      await run('ip', ['link', 'set', bridge, 'up'])
    } catch (error) {
      if (process.env['CI'] === 'true') throw error
      return t.skip(`this user may not add a network interface: ${String(error).split('\n')[0]}`)
    }
    const app = 'tpx-test-virtual'
    await using running = startTpx(['docker-run', '--name', name, '--intercept', 'web-app', '--', '--rm', '--name', app, SAMPLE_IMAGE])
    await eventually('the app to serve', async () => (await fromCluster('get', 'http://web-app/')).includes(`from=127.0.0.1`), 60_000)
    assert.match(running.output(), /Subnet 10\.96\.0\.0\/16 of the cluster overlaps with 10\.96\.200\.0\/24 \(tpx-test-vpn of the host\)/)
    const inApp = (...words: string[]) => docker('exec', app, '/sample', ...words)
    const environment = JSON.parse(await inApp('get', 'http://127.0.0.1:8080/env')) as Record<string, string>
    const host = environment['STORE_SERVICE_HOST'] ?? ''
    assert.match(host, VIRTUAL)
    assert.equal(environment['STORE_PORT'], `tcp://${host}:6380`)
    assert.equal((await inApp('lookup', 'store')).trim(), host)
    assert.match(await inApp('tcp', `${host}:6380`), /connected/)
    const { conflicts, virtual } = await routingOf(name)
    assert.deepEqual(
      conflicts.map(({ cidr, network, resolution }) => [cidr, network.cidr, resolution]),
      [['10.96.0.0/16', '10.96.200.0/24', 'virtual']],
    )
    assert.deepEqual(
      virtual.map(({ cidr, reason }) => [cidr, reason]),
      [['10.96.0.0/16', 'conflict']],
    )
  })

  test('that the user allows leaves the cluster its addresses', async () => {
    const { stderr } = await tpxOk(['connect', '--name', name, '--allow-conflicting-subnets', '10.96.0.0/16'], {
      env: { TPX_HOST_NETWORKS: '10.0.0.0/8=vpn0' },
    })
    assert.match(stderr, /10\.96\.0\.0\/16 of the cluster overlaps with 10\.0\.0\.0\/8 \(vpn0\): in the connection it means the cluster/)
    assert.equal(await lookup('web-app'), await serviceAddress('web-app'))
    // The Pods' subnets were not allowed.
    assert.ok((await routingOf(name)).virtual.every(({ cidr }) => cidr.startsWith('10.244.')))
    await quitAll()
  })
})

describe('overlap with the Docker network that the connection is on', () => {
  const network = 'tpx-test-overlap'
  const sibling = 'tpx-test-sibling'
  before(async () => {
    await quitAll()
    await ensureManager()
    await docker('network', 'create', '--subnet', '10.96.128.0/24', '--label', 'tpx.test=suite', network)
    await docker('run', '--detach', '--name', sibling, '--network', network, '--ip', '10.96.128.77', SAMPLE_IMAGE, 'web')
  })
  after(async () => {
    await quitAll()
    await docker('rm', '--force', sibling).catch(() => '')
    await docker('network', 'rm', network).catch(() => '')
  })

  test('both the cluster and the Docker network are reached', async () => {
    const { stderr } = await tpxOk(['connect', '--name', name, '--network', network])
    assert.match(
      stderr,
      /Subnet 10\.96\.0\.0\/16 of the cluster overlaps with 10\.96\.128\.0\/24 \(a Docker network of the connection, eth0\)/,
    )
    const virtual = await lookup('web-app')
    assert.match(virtual, VIRTUAL)
    assert.match(await probe(name, 'get', 'http://web-app/'), /NAME=web-app-in-cluster/)
    assert.match(await probe(name, 'get', `http://${virtual}/`), /NAME=web-app-in-cluster/)
    assert.equal(await lookup(virtual, 'PTR'), 'web-app.default.svc.cluster.local.')
    assert.match(await probe(name, 'tcp', '10.96.128.77:8080'), /connected/)
    assert.match(await probe(name, 'udp', 'tcp:7006', 'hello'), /hello/)
  })

  test('the virtual addresses that apps have stay good when the tunnel crashes', async () => {
    const virtual = await lookup('tcp')
    await new Promise((resolve) => setTimeout(resolve, 6000))
    await docker('kill', `tpx-${name}-tunnel`)
    await eventually('the new tunnel to dial', async () => (await probe(name, 'tcp', `${virtual}:7001`)).includes('connected'), 15_000)
  })
})

describe('a Docker network that is joined later', () => {
  const network = 'tpx-test-later'
  before(async () => {
    await quitAll()
    await ensureManager()
    await docker('network', 'create', '--subnet', '10.96.129.0/24', '--label', 'tpx.test=suite', network)
  })
  after(async () => {
    await quitAll()
    await docker('network', 'rm', network).catch(() => '')
  })

  test('is refused by the engine while a route is in the way, and reached beside virtual addresses', async () => {
    const join = (): Promise<string> => docker('network', 'connect', network, `tpx-${name}-holder`)
    await tpxOk(['connect', '--name', name])
    await assert.rejects(join(), /conflicts with existing route/)
    await quitAll()
    await tpxOk(['connect', '--name', name, '--vnat', 'service'])
    await join()
    assert.match(await probe(name, 'get', 'http://web-app/'), /NAME=web-app-in-cluster/)
  })
})

describe('--vnat and --proxy-via', () => {
  before(async () => {
    await quitAll()
    await ensureManager()
  })
  after(quitAll)

  test('--vnat pods gives each Pod a virtual address in its place', async () => {
    await tpxOk(['connect', '--name', name, '--vnat', 'pods'])
    const { routed, virtual } = await routingOf(name)
    assert.ok(routed.every((cidr) => cidr.startsWith('10.96.')) && virtual.length > 0)
    const pod = await podAddress('tcp')
    const block = virtual.find(({ cidr }) => pod.startsWith(cidr.replace(/\.0\/24$/, '.')))
    const address = pod.replace(/^\d+\.\d+\.\d+/, block?.virtual.replace(/\.0\/24$/, '') ?? '')
    assert.match(await probe(name, 'tcp', `${address}:7001`), /connected/)
    assert.match(await probe(name, 'tcp', `${address}:7009`), /refused/)
    assert.equal((await probe(name, 'ping', address, '1472')).trim(), 'reply 1472 bytes')
    await quitAll()
  })

  test('--proxy-via lets an agent dial: the server sees the address of its Pod', async () => {
    await quitAll()
    await tpxOk(['connect', '--name', name, '--proxy-via', 'service=store'], { timeoutMs: 120_000 })
    assert.match(await lookup('caller'), VIRTUAL)
    const store = await podAddress('store')
    // Of a workload without an agent: an agent relays, so that the app behind it sees its own Pod's address.
    assert.match(await probe(name, 'get', 'http://caller:8080/'), new RegExp(`from=${store.replaceAll('.', '\\.')}\\n?$`))
    assert.match(await probe(name, 'tcp', 'tcp:7001'), /connected/)
    assert.match(await probe(name, 'tcp', 'tcp:7009'), /refused/)
    assert.match(await probe(name, 'udp', 'tcp:7006', 'through-the-agent'), /through-the-agent/)
    assert.match(await probe(name, 'halfclose', 'tcp:7002', '3000000'), /3000000/)
    const { virtual } = await routingOf(name)
    assert.deepEqual(
      virtual.map(({ reason, workload }) => [reason, workload]),
      [['proxy-via', 'store']],
    )
    await quitAll()
  })

  test('--proxy-via of a workload that there is not is refused', async () => {
    await quitAll()
    const { json, status, stderr } = await tpx(['connect', '--name', name, '--proxy-via', 'service=no-such-workload', '--output', 'json'])
    assert.equal((json as { error: { code: string } } | undefined)?.error.code, 'WORKLOAD_NOT_FOUND', stderr)
    assert.equal(status, 2)
  })
})
