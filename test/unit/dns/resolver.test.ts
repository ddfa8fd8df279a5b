import assert from 'node:assert/strict'
import { test } from 'node:test'
import packet from 'dns-packet'
import fc from 'fast-check'
import { DEFAULT_EXCLUDE_SUFFIXES, type Zone } from '../../../src/dns/name-plan.ts'
import { fitUdp } from '../../../src/dns/reply.ts'
import { type ClusterAnswer, Resolver } from '../../../src/dns/resolver.ts'
import { aRecords, makeQuery, read } from './dns-messages.ts'

type Upstream = { asked: string[]; clock: { ms: number }; resolver: Resolver }

const absent: ClusterAnswer = { rcode: 3, records: Buffer.alloc(0) }
const noData: ClusterAnswer = { rcode: 0, records: Buffer.alloc(0) }

function hostAnswer(message: Buffer, data: string | null): Buffer {
  const query = packet.decode(message)
  const [question] = query.questions!
  return packet.encode({
    type: 'response',
    id: query.id!,
    flags: packet.RECURSION_AVAILABLE | (data === null ? 3 : 0),
    questions: query.questions!,
    answers: data === null ? [] : [{ name: question!.name, type: 'A', ttl: 30, data }],
    additionals: [{ type: 'OPT', name: '.', udpPayloadSize: 4096, flags: 0, options: [] } as unknown as packet.Answer],
  })
}

/** `cluster` and `host`: what they know; an Error is thrown. */
function make(
  cluster: Record<string, ClusterAnswer | Error>,
  host: Record<string, string | Error> = {},
  zone: Partial<Zone> = {},
): Upstream {
  const asked: string[] = []
  const clock = { ms: 0 }
  const resolver = new Resolver({
    now: () => clock.ms,
    upstreams: {
      cluster: async (name, type) => {
        asked.push(`cluster ${name} ${type}`)
        const answer = cluster[`${name} ${type}`] ?? cluster['*'] ?? absent
        if (answer instanceof Error) throw answer
        return answer
      },
      host: async (message) => {
        const name = packet.decode(message).questions![0]!.name
        asked.push(`host ${name}`)
        const answer = host[name.toLowerCase()] ?? host['*'] ?? null
        if (answer instanceof Error) throw answer
        return { from: 'host', message: hostAnswer(message, answer) }
      },
    },
    zone: () => ({
      clusterDomain: 'cluster.local',
      excludeSuffixes: DEFAULT_EXCLUDE_SUFFIXES,
      excludes: [],
      includeSuffixes: [],
      mappings: [],
      namespace: 'shop',
      subnets: [],
      ...zone,
    }),
  })
  return { asked, clock, resolver }
}

async function ask({ resolver }: Upstream, query: Buffer): Promise<ReturnType<typeof read>> {
  const answer = await resolver.answer(query)
  assert.ok(answer)
  return read(answer.message)
}

const webApp = { 'web-app.shop.svc.cluster.local. 1': { rcode: 0, records: aRecords('web-app.shop.svc.cluster.local', '10.96.0.7') } }

test('answer() gives a short name of the connected namespace, in the spelling of the question', async () => {
  const upstream = make(webApp)
  const { answers, decoded, rcode } = await ask(upstream, makeQuery('wEb-aPP', 'A', { id: 4711 }))
  assert.deepEqual([rcode, answers, decoded.id], ['NOERROR', ['wEb-aPP A 10.96.0.7'], 4711])
})

test('answer() asks once for what is cached or under way, and again when the TTL has run out', async () => {
  const upstream = make(webApp)
  const query = makeQuery('web-app.shop.svc.cluster.local', 'A')
  await Promise.all([ask(upstream, query), ask(upstream, query)])
  await ask(upstream, makeQuery('WEB-APP.shop.svc.cluster.local', 'A'))
  assert.equal(upstream.asked.length, 1)
  upstream.clock.ms = 2000
  await ask(upstream, query)
  assert.equal(upstream.asked.length, 2)
})

test('answer() says NODATA for a missing AAAA beside an A even where the cluster says NXDOMAIN', async () => {
  const { answers, decoded, rcode } = await ask(make(webApp), makeQuery('web-app.shop.svc.cluster.local', 'AAAA'))
  assert.deepEqual([rcode, answers, decoded.authorities?.[0]?.type], ['NOERROR', [], 'SOA'])
})

test('answer() denies a search-suffix artefact with an SOA and keeps that for 2 s', async () => {
  const upstream = make({})
  const query = makeQuery('public.example.de.shop.svc.cluster.local', 'A')
  const { decoded, rcode } = await ask(upstream, query)
  assert.equal(rcode, 'NXDOMAIN')
  assert.equal(decoded.authorities?.[0]?.type, 'SOA')
  await ask(upstream, query)
  assert.equal(upstream.asked.length, 1)
  upstream.clock.ms = 2000
  await ask(upstream, query)
  assert.equal(upstream.asked.length, 2)
})

test('answer() asks the host for everything else, passes the answer on and keeps it', async () => {
  const upstream = make({}, { 'api.github.com': '140.82.1.1' })
  assert.deepEqual((await ask(upstream, makeQuery('api.github.com', 'A', { udpSize: 1232 }))).answers, ['api.github.com A 140.82.1.1'])
  const again = await ask(upstream, makeQuery('API.github.com', 'A', { id: 9 }))
  assert.deepEqual(
    [again.answers.length, again.decoded.questions![0]!.name, again.decoded.id, again.decoded.additionals],
    [1, 'API.github.com', 9, []],
  )
  assert.deepEqual(upstream.asked, ['host api.github.com'])
})

test('answer() asks the host for a two-label name that the cluster does not know', async () => {
  const upstream = make({}, { 'example.de': '1.2.3.4' })
  assert.deepEqual((await ask(upstream, makeQuery('example.de', 'A'))).answers, ['example.de A 1.2.3.4'])
  assert.deepEqual(upstream.asked, ['cluster example.de.svc.cluster.local. 1', 'host example.de'])
})

test('answer() names the cause with an Extended DNS Error while the manager is away, and keeps no such answer', async () => {
  const upstream = make({ '*': new Error('The traffic-manager does not answer') })
  const query = makeQuery('web-app.shop.svc.cluster.local', 'A', { udpSize: 1232 })
  const { extendedError, rcode } = await ask(upstream, query)
  assert.deepEqual([rcode, extendedError], ['SERVFAIL', '22 The traffic-manager does not answer'])
  await ask(upstream, query)
  assert.equal(upstream.asked.length, 2)
})

test('answer() fails without OPT towards a client that sent none', async () => {
  const { decoded, rcode } = await ask(make({}, { '*': new Error('no link') }), makeQuery('github.com', 'A'))
  assert.deepEqual([rcode, decoded.additionals], ['SERVFAIL', []])
})

test('answer() lets names of the host work while the cluster is away, and does not take its absence for a denial', async () => {
  const upstream = make({ '*': new Error('away') }, { 'example.de': '1.2.3.4' })
  assert.deepEqual((await ask(upstream, makeQuery('example.de', 'A'))).answers, ['example.de A 1.2.3.4'])
  assert.equal((await ask(upstream, makeQuery('web-app', 'A'))).rcode, 'SERVFAIL')
})

test('answer() has no data of types that the cluster does not serve for a name that is there, and denies one that is not', async () => {
  const upstream = make(webApp)
  for (const type of ['CAA', 'ANY', 'UNKNOWN_65']) {
    const { answers, decoded, rcode } = await ask(upstream, makeQuery('web-app.shop.svc.cluster.local', type))
    assert.deepEqual([rcode, answers, decoded.authorities?.[0]?.type], ['NOERROR', [], 'SOA'], type)
    assert.equal((await ask(upstream, makeQuery('web-app', type))).rcode, 'NOERROR')
    assert.equal((await ask(upstream, makeQuery('nothing.shop.svc.cluster.local', type))).rcode, 'NXDOMAIN')
  }
  assert.deepEqual(
    [...new Set(upstream.asked)].filter((one) => one.startsWith('cluster')),
    ['cluster web-app.shop.svc.cluster.local. 1', 'cluster nothing.shop.svc.cluster.local. 1'],
  )
})

test('answer() gives the records of the target behind a CNAME for a mapped name, also below the search list', async () => {
  const zone = { mappings: [{ aliasFor: 'web-app.shop.svc.cluster.local', name: 'alias.example' }] }
  const upstream = make(webApp, {}, zone)
  for (const name of ['alias.example', 'alias.example.shop.svc.cluster.local']) {
    const { answers, rcode } = await ask(upstream, makeQuery(name, 'A'))
    assert.deepEqual(
      [rcode, answers],
      ['NOERROR', [`${name} CNAME web-app.shop.svc.cluster.local`, 'web-app.shop.svc.cluster.local A 10.96.0.7']],
    )
  }
  assert.deepEqual((await ask(upstream, makeQuery('alias.example', 'CNAME'))).answers, [
    'alias.example CNAME web-app.shop.svc.cluster.local',
  ])
  const noData = await ask(upstream, makeQuery('alias.example', 'AAAA'))
  assert.deepEqual([noData.rcode, noData.answers.length, noData.decoded.authorities?.[0]?.type], ['NOERROR', 1, 'SOA'])
})

test('answer() maps to names of the host, to a missing name, and to what cannot be asked', async () => {
  const mappings = [
    { aliasFor: 'public.example.de', name: 'pub' },
    { aliasFor: 'nobody.example.de', name: 'gone' },
    { aliasFor: 'broken.example.de', name: 'down' },
  ]
  const upstream = make({}, { 'broken.example.de': new Error('no link'), 'public.example.de': '198.51.100.7' }, { mappings })
  assert.deepEqual((await ask(upstream, makeQuery('PUB', 'A'))).answers, [
    'PUB CNAME public.example.de',
    'public.example.de A 198.51.100.7',
  ])
  const gone = await ask(upstream, makeQuery('gone', 'A'))
  assert.deepEqual([gone.rcode, gone.answers], ['NXDOMAIN', ['gone CNAME nobody.example.de']])
  const down = await ask(upstream, makeQuery('down', 'A', { udpSize: 1232 }))
  assert.deepEqual([down.rcode, down.answers, down.extendedError], ['SERVFAIL', [], '23 no link'])
})

test('answer() maps to addresses; the other family has no data', async () => {
  const mappings = [
    { aliasFor: '192.0.2.9', name: 'four' },
    { aliasFor: '2001:db8::1:9', name: 'six' },
    { aliasFor: 'four', name: 'by.name' },
  ]
  const upstream = make({}, {}, { mappings })
  assert.deepEqual((await ask(upstream, makeQuery('four', 'A'))).answers, ['four A 192.0.2.9'])
  assert.deepEqual((await ask(upstream, makeQuery('six', 'AAAA'))).answers, ['six AAAA 2001:db8::1:9'])
  assert.deepEqual((await ask(upstream, makeQuery('by.name', 'A'))).answers, ['by.name CNAME four', 'four A 192.0.2.9'])
  for (const [name, type] of [
    ['four', 'AAAA'],
    ['six', 'A'],
    ['four', 'TXT'],
  ] as const) {
    const { answers, decoded, rcode } = await ask(upstream, makeQuery(name, type))
    assert.deepEqual([rcode, answers, decoded.authorities?.[0]?.type], ['NOERROR', [], 'SOA'])
  }
  assert.deepEqual(upstream.asked, [])
})

test('answer() takes an excluded name not to exist, and says why', async () => {
  const upstream = make(webApp, { 'web-app': '1.2.3.4' }, { excludes: ['web-app'] })
  for (const name of ['web-app', 'web-app.shop.svc.cluster.local']) {
    const { extendedError, rcode } = await ask(upstream, makeQuery(name, 'A', { udpSize: 1232 }))
    assert.deepEqual([rcode, extendedError], ['NXDOMAIN', '17 excluded by dns.excludes'])
  }
  assert.deepEqual(upstream.asked, [])
})

test('answer() cuts the times to live of the cluster to 2 s, so that nobody keeps the address of a Service that was made anew', async () => {
  const { decoded } = await ask(make(webApp), makeQuery('web-app', 'A'))
  assert.deepEqual(
    decoded.answers!.map((record) => (record as { ttl: number }).ttl),
    [2],
  )
})

test('answer() asks the cluster once for what the search list and a short name both mean', async () => {
  const upstream = make({}, { 'example.de': '1.2.3.4' })
  await ask(upstream, makeQuery('example.de.svc.cluster.local', 'A'))
  await ask(upstream, makeQuery('example.de', 'A'))
  assert.deepEqual(upstream.asked, ['cluster example.de.svc.cluster.local. 1', 'host example.de'])
})

test('answer() resolves public names through the whole search list while the cluster is away', async () => {
  const upstream = make({ '*': new Error('away') }, { 'www.example.com': '1.2.3.4' })
  const names = ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local'].map((domain) => `www.example.com.${domain}`)
  for (const name of names) assert.equal((await ask(upstream, makeQuery(name, 'A'))).rcode, 'NXDOMAIN', name)
  assert.deepEqual((await ask(upstream, makeQuery('www.example.com', 'A'))).answers, ['www.example.com A 1.2.3.4'])
})

test('forget() forgets, and does not keep what was under way', async () => {
  const upstream = make(webApp)
  const query = makeQuery('web-app', 'A')
  const running = ask(upstream, query)
  upstream.resolver.forget()
  await running
  await ask(upstream, query)
  upstream.resolver.forget()
  await ask(upstream, query)
  assert.equal(upstream.asked.length, 3)
})

test('explain() tells the rule, who was asked, and what came from the cache', async () => {
  const { resolver } = make({}, { 'example.de': '1.2.3.4' })
  const first = await resolver.explain(makeQuery('example.de', 'A'))
  assert.match(first!.rule, /two labels/)
  assert.deepEqual(
    first!.asked.map(({ from, isCached, name, rcode }) => [from, name, rcode, isCached]),
    [
      ['cluster', 'example.de.svc.cluster.local', 3, false],
      ['host', 'example.de', 0, false],
    ],
  )
  const second = await resolver.explain(makeQuery('example.de', 'A'))
  assert.deepEqual(
    second!.asked.map(({ isCached }) => isCached),
    [true, true],
  )
})

test('answer() denies wpad and answers localhost by itself', async () => {
  const upstream = make({})
  assert.equal((await ask(upstream, makeQuery('wpad.shop.svc.cluster.local', 'A'))).rcode, 'NXDOMAIN')
  assert.deepEqual((await ask(upstream, makeQuery('localhost', 'A'))).answers, ['localhost A 127.0.0.1'])
  assert.deepEqual((await ask(upstream, makeQuery('localhost', 'AAAA'))).answers, ['localhost AAAA ::1'])
  assert.deepEqual((await ask(upstream, makeQuery('1.0.0.127.in-addr.arpa', 'PTR'))).answers, ['1.0.0.127.in-addr.arpa PTR localhost'])
  assert.equal((await ask(upstream, makeQuery('localhost', 'TXT'))).rcode, 'NOERROR')
  assert.deepEqual(upstream.asked, [])
})

test('fitUdp() cuts an answer to question and TC above the size that the client takes', async () => {
  const addresses = Array.from({ length: 60 }, (_, i) => `10.0.0.${i}`)
  const upstream = make({ '*': { rcode: 0, records: aRecords('many.shop.svc.cluster.local', ...addresses) } })
  for (const [udpSize, isCut] of [
    [undefined, true],
    [512, true],
    [1232, false],
  ] as const) {
    const answer = await upstream.resolver.answer(makeQuery('many.shop.svc.cluster.local', 'A', udpSize ? { udpSize } : {}))
    const { answers, decoded } = read(fitUdp(answer!.message, answer!.query))
    assert.deepEqual([decoded.flag_tc, answers.length, decoded.questions![0]!.name], [isCut, isCut ? 0 : 60, 'many.shop.svc.cluster.local'])
  }
})

test('answer() refuses an EDNS version that it does not know (BADVERS)', async () => {
  const query = makeQuery('localhost', 'A', { udpSize: 1232 })
  query.writeUInt8(1, query.length - 5)
  const { message } = (await make({}).resolver.answer(query))!
  const opt = packet.decode(message).additionals!.find((record) => record.type === 'OPT')!
  assert.equal(opt.extendedRcode, 1)
})

test('answer() never throws and never hangs, whatever comes', async () => {
  const upstream = make({ '*': noData }, { '*': '1.1.1.1' })
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 80 }), fc.boolean(), async (bytes, isShaped) => {
      const message = isShaped ? Buffer.concat([Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), bytes]) : Buffer.from(bytes)
      const answer = await upstream.resolver.answer(message)
      if (answer) assert.equal(answer.message.readUInt16BE(2) & 0x8000, 0x8000)
    }),
    { numRuns: 500 },
  )
})

test('answer() survives garbage from both upstreams', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 60 }), async (bytes) => {
      const resolver = new Resolver({
        upstreams: {
          cluster: async () => ({ rcode: 0, records: Buffer.from(bytes) }),
          host: async () => ({ from: 'host', message: Buffer.from(bytes) }),
        },
        zone: () => ({
          clusterDomain: 'cluster.local',
          excludeSuffixes: [],
          excludes: [],
          includeSuffixes: [],
          mappings: [],
          namespace: 'shop',
          subnets: [],
        }),
      })
      for (const name of ['a.b.svc', 'www.example.com']) {
        const answer = await resolver.answer(makeQuery(name, 'A'))
        assert.ok(answer && answer.message.length >= 12)
      }
    }),
    { numRuns: 300 },
  )
})
