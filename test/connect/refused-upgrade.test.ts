// Proxies and load balancers between here and the API server that refuse the SPDY upgrade of a port-forward.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ensureManager, leftovers, probe, quitAll, SAMPLE_IMAGE } from '../helpers/cluster.ts'
import { KubeconfigFolder } from '../helpers/kubeconfig.ts'
import { reverseProxy, type Upgrades } from '../helpers/proxies.ts'
import { docker, eventually, fromCluster, tpxOk } from '../helpers/tpx.ts'

const name = 'refused'
const cases: [what: string, upgrades: Upgrades, transport: string][] = [
  ['lets everything through', { spdy: 'pass', tunnelled: 'pass' }, 'spdy'],
  ['strips the SPDY upgrade', { spdy: 'strip', tunnelled: 'pass' }, 'spdy-over-websocket'],
  ['swallows the SPDY upgrade', { spdy: 'hang', tunnelled: 'pass' }, 'spdy-over-websocket'],
  ['lets only plain WebSockets through', { spdy: 'strip', tunnelled: 'refuse' }, 'websocket'],
]

describe('a reverse proxy in front of the API server', () => {
  const folder = new KubeconfigFolder()
  before(async () => {
    await quitAll()
    await ensureManager()
  })
  after(async () => {
    await docker('rm', '--force', 'tpx-test-web')
    await quitAll()
    folder[Symbol.dispose]()
  })

  for (const [what, upgrades, transport] of cases)
    test(`that ${what}: connect, traffic both ways, attachment`, async () => {
      await using proxy = await reverseProxy(upgrades)
      const kubeconfig = folder.kubeconfig((config) => {
        for (const one of config.clusters) one.cluster = { server: `http://127.0.0.1:${proxy.port}` }
        for (const one of config.users) one.user = {}
      })
      await tpxOk(['connect', '--name', name, '--kubeconfig', kubeconfig])
      assert.match(await probe(name, 'get', 'http://web-app/'), /NAME=web-app-in-cluster/)
      assert.match(await probe(name, 'halfclose', 'tcp:7002', '3000000'), /3000000/)
      const { json } = await tpxOk(['status', '--output', 'json'])
      const [one] = (json as { connections: { link: { portForward: string }; state: string }[] }).connections
      assert.deepEqual([one?.state, one?.link.portForward], ['connected', transport])
      // Traffic from the cluster to the connection's namespace, over another port-forward (to the agent).
      await docker(
        'run',
        '--detach',
        '--rm',
        '--name',
        'tpx-test-web',
        '--network',
        `container:tpx-${name}-holder`,
        '--env',
        'NAME=developer',
        SAMPLE_IMAGE,
        'web',
      )
      await tpxOk(['intercept', 'web-app', '--use', name, '--port', '8080:http'])
      await eventually('the developer to answer', async () => /NAME=developer/.test(await fromCluster('get', 'http://web-app/')), 5000)
      await docker('rm', '--force', 'tpx-test-web')
      await tpxOk(['leave', 'web-app', '--use', name])
      assert.ok(proxy.used.length >= 2 && proxy.used.every((used) => used === transport), proxy.used.join())
      await tpxOk(['quit', '--use', name])
      assert.equal(await leftovers(), '')
    })
})
