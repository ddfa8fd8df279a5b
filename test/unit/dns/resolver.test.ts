import assert from 'node:assert/strict'
import { test } from 'node:test'
import packet from 'dns-packet'
import fc from 'fast-check'
import { DEFAULT_EXCLUDE_SUFFIXES } from '../../../src/dns/name-plan.ts'
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
function make(cluster: Record<string, ClusterAnswer | Error>, host: Record<string, string | Error> = {}): Upstream {
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
        return hostAnswer(message, answer)
      },
    },
    zone: () => ({
      clusterDomain: 'cluster.local',
      excludeSuffixes: DEFAULT_EXCLUDE_SUFFIXES,
      includeSuffixes: [],
      namespace: 'shop',
      subnets: [],
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
  upstream.clock.ms = 4000
  await ask(upstream, query)
  assert.equal(upstream.asked.length, 2)
})

test('answer() says NODATA for a missing AAAA beside an A even where the cluster says NXDOMAIN', async () => {
  const { answers, decoded, rcode } = await ask(make(webApp), makeQuery('web-app.shop.svc.cluster.local', 'AAAA'))
  assert.deepEqual([rcode, answers, decoded.authorities?.[0]?.type], ['NOERROR', [], 'SOA'])
})

test('answer() denies a search-suffix artefact with an SOA and keeps that for 2 s', async () => {
  const upstream = make({})
  const query = makeQuery('public.example.com.shop.svc.cluster.local', 'A')
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

test('answer() answers types that the cluster does not serve with NOTIMP', async () => {
  const upstream = make(webApp)
  for (const type of ['CAA', 'SOA', 'UNKNOWN_65'])
    assert.equal((await ask(upstream, makeQuery('web-app.shop.svc.cluster.local', type))).rcode, 'NOTIMP')
  assert.deepEqual(upstream.asked, [])
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
        upstreams: { cluster: async () => ({ rcode: 0, records: Buffer.from(bytes) }), host: async () => Buffer.from(bytes) },
        zone: () => ({ clusterDomain: 'cluster.local', excludeSuffixes: [], includeSuffixes: [], namespace: 'shop', subnets: [] }),
      })
      for (const name of ['a.b.svc', 'www.example.com']) {
        const answer = await resolver.answer(makeQuery(name, 'A'))
        assert.ok(answer && answer.message.length >= 12)
      }
    }),
    { numRuns: 300 },
  )
})
