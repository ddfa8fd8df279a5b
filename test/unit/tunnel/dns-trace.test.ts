import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TpxError } from '../../../src/base/error.ts'
import { type ClusterAnswer, Resolver, type Upstreams } from '../../../src/dns/resolver.ts'
import { startDnsServer } from '../../../src/dns/server.ts'
import { traceName } from '../../../src/tunnel/dns-trace.ts'
import { aRecords } from '../dns/dns-messages.ts'

const absent: ClusterAnswer = { rcode: 3, records: Buffer.alloc(0) }
const known: Record<string, ClusterAnswer> = {
  'web.shop.svc.cluster.local.': { rcode: 0, records: aRecords('web.shop.svc.cluster.local', '10.96.0.7') },
}
const conf = 'search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver 198.18.0.1\noptions ndots:5\n'

function make(upstreams: Partial<Upstreams> = {}): Resolver {
  return new Resolver({
    upstreams: {
      cluster: async (name) => known[name] ?? absent,
      host: async () => Promise.reject(new Error('no link')),
      ...upstreams,
    },
    zone: () => ({
      clusterDomain: 'cluster.local',
      excludeSuffixes: ['.com'],
      excludes: ['hidden'],
      includeSuffixes: [],
      mappings: [],
      namespace: 'shop',
      subnets: ['10.96.0.0/16'],
    }),
  })
}

const trace = (resolver: Resolver, name: string, options: { conf?: string; flush?: boolean; type?: string } = {}) =>
  traceName(
    { flush: options.flush ?? false, name, type: options.type ?? 'A' },
    { ownAddresses: ['198.18.0.1'], readResolvConf: async () => options.conf ?? conf, resolver },
  )

test('traceName() stops at the first name of the search list that has records', async () => {
  const resolver = make()
  const first = await trace(resolver, 'web')
  assert.deepEqual([first.found, first.rcode, first.steps.length], ['web.shop.svc.cluster.local', 'NOERROR', 1])
  assert.deepEqual(first.records, [{ data: '10.96.0.7', name: 'web.shop.svc.cluster.local', ttl: 2, type: 'A' }])
  const [step] = first.steps
  assert.deepEqual(
    [step?.isCached, step?.answeredBy, step?.asked.map(({ from, name, rcode, type }) => [from, name, rcode, type])],
    [false, 'tunnel', [['cluster', 'web.shop.svc.cluster.local', 'NOERROR', 'A']]],
  )
  assert.equal((await trace(resolver, 'web')).steps[0]?.isCached, true)
  assert.equal((await trace(resolver, 'web', { flush: true })).steps[0]?.isCached, false)
})

test('traceName() shows every step of a name that is nowhere, and what failed', async () => {
  const { found, rcode, steps } = await trace(make(), 'nothing')
  assert.deepEqual([found, rcode], [null, 'SERVFAIL'])
  assert.deepEqual(
    steps.map(({ error, name, rcode }) => [name, rcode, error]),
    [
      ['nothing.shop.svc.cluster.local', 'NXDOMAIN', undefined],
      ['nothing.svc.cluster.local', 'NXDOMAIN', undefined],
      ['nothing.cluster.local', 'NXDOMAIN', undefined],
      ['nothing', 'SERVFAIL', 'no link'],
    ],
  )
})

test('traceName() names the cause and its next step while the cluster is away', async () => {
  const down = new TpxError('CARRIER_FAILED', 'The link is not there', { hint: 'Run tpx status' })
  const { rcode, steps } = await trace(make({ cluster: () => Promise.reject(down) }), 'web.')
  assert.equal(rcode, 'SERVFAIL')
  assert.equal(steps[0]?.asked[0]?.error, 'The link is not there. Run tpx status')
})

test('traceName() asks an address for its name, and tells the rule of an excluded name', async () => {
  const { name, steps, type } = await trace(make(), '10.96.0.7')
  assert.deepEqual([name, type, steps.length], ['7.0.96.10.in-addr.arpa.', 'PTR', 1])
  assert.match((await trace(make(), 'fd00::7')).name, /^7\.0\..*\.d\.f\.ip6\.arpa\.$/)
  assert.match((await trace(make(), 'hidden')).steps[0]?.rule ?? '', /dns\.excludes/)
})

test('traceName() tells what another name server answered by itself, and what it passed on to us', async (t) => {
  // Stands for Docker's resolver: port 53 of another loopback address, as the trace asks no other port.
  const resolver = make()
  const docker = await startDnsServer(resolver, { host: '127.0.0.99', port: 53 }).catch(() => undefined)
  if (!docker) return t.skip('port 53 may not be bound here')
  try {
    const passedOn = await trace(resolver, 'web', { conf: conf.replace('198.18.0.1', '127.0.0.99') })
    assert.deepEqual([passedOn.steps[0]?.answeredBy, passedOn.steps[0]?.asked[0]?.from], ['tunnel', 'cluster'])
    const byItself = await trace(make(), 'web', { conf: conf.replace('198.18.0.1', '127.0.0.99') })
    assert.deepEqual([byItself.steps[0]?.answeredBy, byItself.records.length], ['docker', 1])
  } finally {
    docker.close()
  }
})
