// Which addresses lead to the cluster: discovery, changes, also-proxy and never-proxy, pings.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { parse } from 'yaml'
import { VERSION } from '../../src/base/version.ts'
import { ensureManager, leftovers, probe, quitAll } from '../helpers/cluster.ts'
import { deviceOf, podAddress, routingOf } from '../helpers/routing.ts'
import { eventually, kubectl, run, tpx, tpxOk } from '../helpers/tpx.ts'

const name = 'subnets'
const TUNNEL_IMAGE = `tpx/tunnel:${VERSION}`

/** Address of the API server as the kubeconfig has it; undefined where that is a name or loopback. */
function apiAddress(): string | undefined {
  const config = parse(readFileSync(String(process.env['KUBECONFIG']), 'utf8')) as { clusters: { cluster: { server: string } }[] }
  const host = new URL(config.clusters[0]?.cluster.server ?? 'https://localhost').hostname
  return /^\d+\.\d+\.\d+\.\d+$/.test(host) && !host.startsWith('127.') ? host : undefined
}

/** A file with this object, for kubectl. */
function writeTemporary(object: object): string {
  const path = join(mkdtempSync(join(tmpdir(), 'tpx-routing-')), 'object.json')
  writeFileSync(path, JSON.stringify(object))
  return path
}

/** The workload `tcp` under another address; port 7007 takes connections and is silent. */
function serviceAt(clusterIP: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'tpx-test-more', namespace: 'default' },
    spec: { clusterIP, ports: [{ port: 7007 }], selector: { app: 'tcp' } },
  }
}

/** Connects to that Service, and tells how the connection ended. */
const HOLD = `
  const socket = require('node:net').connect(7007, '10.99.77.7')
  let told = 'never open'
  socket.on('connect', () => { told = 'open' }).resume()
  socket.on('error', ({ code }) => console.log(told, code)).on('end', () => console.log(told, 'end'))
`

/** Addresses of the nodes, as Kubernetes has them. */
async function nodeAddresses(): Promise<string[]> {
  const path = 'jsonpath={.items[*].status.addresses[?(@.type=="InternalIP")].address}'
  return (await kubectl('get', 'nodes', '--output', path)).trim().split(' ')
}

describe('subnets of the cluster', () => {
  before(async () => {
    await quitAll()
    await ensureManager()
    await tpxOk(['connect', '--name', name])
  })
  after(async () => {
    await kubectl('delete', 'service', 'tpx-test-more', '--ignore-not-found')
    await kubectl('delete', 'servicecidr', 'tpx-test-more', '--ignore-not-found')
    await quitAll()
  })

  test('are those of the ServiceCIDR objects and of the nodes', async () => {
    const services = (await kubectl('get', 'servicecidrs', '--output', 'jsonpath={.items[*].spec.cidrs[*]}')).trim().split(' ')
    const pods = (await kubectl('get', 'nodes', '--output', 'jsonpath={.items[*].spec.podCIDRs[*]}')).trim().split(' ')
    const { conflicts, notes, routed, virtual } = await routingOf(name)
    assert.deepEqual([...routed].sort(), [...services, ...pods].sort())
    assert.deepEqual([conflicts, notes, virtual], [[], [], []])
    assert.equal(await deviceOf(name, await podAddress('tcp')), 'tpx0')
    assert.equal(await deviceOf(name, '203.0.113.1'), 'eth0')
  })

  test('a Service range that is added while connected is routed within seconds, and no longer when it is gone', async () => {
    const object = {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'ServiceCIDR',
      metadata: { name: 'tpx-test-more' },
      spec: { cidrs: ['10.99.77.0/24'] },
    }
    assert.equal(await deviceOf(name, '10.99.77.1'), 'eth0')
    await kubectl('create', '--filename', writeTemporary(object))
    await eventually('the new range to be routed', async () => (await deviceOf(name, '10.99.77.1')) === 'tpx0', 6000)
    assert.ok((await routingOf(name)).routed.includes('10.99.77.0/24'))

    await kubectl('create', '--filename', writeTemporary(serviceAt('10.99.77.7')))
    await eventually('the Service to answer', async () => /connected/.test(await probe(name, 'tcp', '10.99.77.7:7007')), 20_000)
    const held = run('docker', [
      'run',
      '--rm',
      '--network',
      `container:tpx-${name}-holder`,
      '--entrypoint',
      'node',
      TUNNEL_IMAGE,
      '-e',
      HOLD,
    ])
    await eventually('the connection to be open', async () => (await routingOf(name)).routed.length > 0, 2000)
    await new Promise((resolve) => setTimeout(resolve, 1500))
    await kubectl('delete', 'service', 'tpx-test-more')
    await kubectl('delete', 'servicecidr', 'tpx-test-more')
    await eventually('the range to be gone', async () => (await deviceOf(name, '10.99.77.1')) === 'eth0', 6000)
    assert.equal((await held).trim(), 'open ECONNRESET')
  })

  test('a ping is answered by the Pod itself, whatever its size', async () => {
    const pod = await podAddress('tcp')
    for (const bytes of [0, 56, 1472, 20_000]) assert.equal((await probe(name, 'ping', pod, String(bytes))).trim(), `reply ${bytes} bytes`)
    assert.deepEqual((await routingOf(name)).notes, [])
  })

  test('a ping to an address without a Pod is never answered', async () => {
    assert.match(await probe(name, 'ping', '10.244.1.250'), /no route to host|no reply/)
  })

  test('a server sees the address of the traffic-manager’s Pod', async () => {
    const manager = await podAddress('app.kubernetes.io/component=traffic-manager', 'ambassador')
    assert.match(await probe(name, 'get', 'http://caller:8080/'), new RegExp(`from=${manager}\\n?$`))
  })
})

describe('also-proxy and never-proxy', () => {
  before(async () => {
    await quitAll()
    await ensureManager()
  })
  after(quitAll)

  test('further subnets lead to the cluster, the API server and what was excluded do not', async () => {
    const [nodes, api, pod] = [await nodeAddresses(), apiAddress(), await podAddress('store')]
    const worker = nodes.find((address) => address !== api) ?? ''
    const subnet = worker.replace(/\.\d+$/, '.0/24')
    await tpxOk(['connect', '--name', name, '--also-proxy', subnet, '--never-proxy', `${pod}/32`])
    assert.match(await probe(name, 'tcp', `${worker}:10250`), /connected/)
    assert.deepEqual([await deviceOf(name, worker), await deviceOf(name, pod)], ['tpx0', 'eth0'])
    assert.equal(await deviceOf(name, pod.replace(/\d+$/, '251')), 'tpx0')
    const { neverProxied, routed } = await routingOf(name)
    assert.ok(routed.includes(subnet) && neverProxied.includes(`${pod}/32`), JSON.stringify({ neverProxied, routed }))
    if (!api) return
    assert.equal(await deviceOf(name, api), 'eth0')
    assert.ok(neverProxied.includes(`${api}/32`))
  })

  test('bad flags are refused before anything is touched', async () => {
    await quitAll()
    for (const [flag, value] of [
      ['--also-proxy', '10.0.0.0'],
      ['--never-proxy', '10.0.0.0/40'],
      ['--allow-conflicting-subnets', 'vpn'],
      ['--vnat', 'everything'],
      ['--proxy-via', '10.0.0.0/8'],
    ] as const)
      for (const words of [
        ['connect', '--output', 'json', flag, value],
        ['docker-run', '--output', 'json', '--intercept', 'web-app', flag, value, '--', 'image'],
      ]) {
        const { json, status, stderr } = await tpx(words)
        assert.equal((json as { error: { code: string } } | undefined)?.error.code, 'USAGE', stderr)
        assert.equal(status, 2)
        assert.match(stderr, new RegExp(`${flag} wants .*\\nNext: `, 's'))
        assert.ok(!stderr.includes('Starting'), stderr)
      }
    assert.equal(await leftovers(), '')
  })
})
