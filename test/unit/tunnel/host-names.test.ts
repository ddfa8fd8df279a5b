import assert from 'node:assert/strict'
import packet from 'dns-packet'
import { test } from 'node:test'
import { lookupHost } from '../../../src/tunnel/host-names.ts'

type Known = Record<string, { A?: string; AAAA?: string; rcode?: number }>

/** A resolver that knows these names. */
function options(known: Known, asked: string[] = []) {
  return {
    answer: async (query: Buffer) => {
      const { id, questions } = packet.decode(query)
      const [question] = questions ?? []
      const { name = '', type } = question ?? {}
      if (type === 'A') asked.push(name)
      const found = known[name]
      const data = type === 'A' || type === 'AAAA' ? found?.[type] : undefined
      const answers = data ? [{ class: 'IN' as const, data, name, ttl: 1, type: type as 'A' }] : []
      const flags = found ? (found.rcode ?? 0) : 3
      return { message: packet.encode({ answers, flags, id: id ?? 0, questions: questions ?? [], type: 'response' }) }
    },
    clusterDomain: 'cluster.local',
    namespace: 'shop',
  }
}

test('lookupHost() goes through the search list of a Pod of the namespace, and takes both families', async () => {
  const asked: string[] = []
  const known: Known = {
    'web.shop.svc.cluster.local': { A: '10.96.0.1', AAAA: 'fd00::1' },
    'web.other.svc.cluster.local': { A: '10.96.0.2' },
  }
  assert.deepEqual(await lookupHost('Web', options(known, asked)), ['10.96.0.1', 'fd00::1'])
  assert.deepEqual(await lookupHost('web.other', options(known, asked)), ['10.96.0.2'])
  assert.deepEqual(asked, ['web.shop.svc.cluster.local', 'web.other.shop.svc.cluster.local', 'web.other.svc.cluster.local'])
})

test('lookupHost() takes a name with a final dot as it is, and one with many dots first as it is', async () => {
  const asked: string[] = []
  const known: Known = { 'a.b.c.d.e.f': { A: '192.0.2.1' }, 'example.com': { A: '192.0.2.2' } }
  assert.deepEqual(await lookupHost('example.com.', options(known, asked)), ['192.0.2.2'])
  assert.deepEqual(await lookupHost('a.b.c.d.e.f', options(known, asked)), ['192.0.2.1'])
  assert.deepEqual(asked, ['example.com', 'a.b.c.d.e.f'])
})

test('lookupHost() answers an address with itself and asks nobody', async () => {
  const asked: string[] = []
  assert.deepEqual(await lookupHost('fd00::1', options({}, asked)), ['fd00::1'])
  assert.deepEqual(asked, [])
})

const broken: Known = Object.fromEntries(['x.shop.svc.cluster.local', 'x'].map((name) => [name, { rcode: 2 }]))
for (const [what, host, known, code] of [
  ['a name that the cluster does not have', 'x', {}, 'EOUTSIDE'],
  ['a name below the cluster domain', 'x.shop.svc.cluster.local', {}, 'ENOTFOUND'],
  ['a name below svc', 'x.shop.svc', {}, 'ENOTFOUND'],
  ['a DNS that fails', 'x', broken, 'EAI_AGAIN'],
  ['a label that is too long', 'x'.repeat(70), {}, 'EOUTSIDE'],
] as const)
  test(`lookupHost() throws ${code} for ${what}`, () => assert.rejects(lookupHost(host, options(known)), { code }))

test('lookupHost() gives up with EAI_AGAIN when the DNS is silent', () =>
  assert.rejects(lookupHost('x', { ...options({}), answer: () => new Promise(() => {}), limitMs: 20 }), { code: 'EAI_AGAIN' }))
