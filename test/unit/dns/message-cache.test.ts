import assert from 'node:assert/strict'
import { test } from 'node:test'
import packet from 'dns-packet'
import { MessageCache } from '../../../src/dns/message-cache.ts'

const soa = {
  type: 'SOA',
  name: 'cluster.local',
  ttl: 30,
  data: { mname: 'a', rname: 'b', serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 9 },
} as const

function answer(options: { authorities?: packet.Answer[]; flags?: number; ttls?: number[] }): Buffer {
  return packet.encode({
    type: 'response',
    flags: options.flags ?? 0,
    questions: [{ name: 'web', type: 'A' }],
    answers: (options.ttls ?? []).map((ttl, i) => ({ name: 'web', type: 'A', ttl, data: `10.0.0.${i}` })),
    authorities: options.authorities ?? [],
  })
}

function cacheAt(): { cache: MessageCache; clock: { ms: number } } {
  const clock = { ms: 0 }
  return { cache: new MessageCache({ capacity: 3, now: () => clock.ms }), clock }
}

test('get() counts the TTLs down and forgets when the smallest has run out', () => {
  const { cache, clock } = cacheAt()
  cache.put('k', answer({ ttls: [5, 30] }))
  clock.ms = 3999
  assert.deepEqual(
    packet.decode(cache.get('k')!).answers!.map((record) => (record as { ttl: number }).ttl),
    [2, 27],
  )
  clock.ms = 5000
  assert.equal(cache.get('k'), undefined)
})

test('put() keeps nothing longer than 10 s', () => {
  const { cache, clock } = cacheAt()
  cache.put('k', answer({ ttls: [86_400] }))
  clock.ms = 9999
  assert.ok(cache.get('k'))
  clock.ms = 10_000
  assert.equal(cache.get('k'), undefined)
})

test("put() keeps a denial for the lesser of the SOA's TTL and minimum (RFC 2308)", () => {
  const { cache, clock } = cacheAt()
  cache.put('absent', answer({ authorities: [soa], flags: 3 }))
  cache.put('no data', answer({ authorities: [{ ...soa, ttl: 4 }] }))
  clock.ms = 3999
  assert.ok(cache.get('absent') && cache.get('no data'))
  clock.ms = 4000
  assert.ok(cache.get('absent'))
  assert.equal(cache.get('no data'), undefined)
  clock.ms = 9000
  assert.equal(cache.get('absent'), undefined)
})

test('put() does not keep failures, cut-off answers, TTL 0, nor denials without an SOA', () => {
  const { cache } = cacheAt()
  cache.put('servfail', answer({ flags: 2, ttls: [9] }))
  cache.put('cut', answer({ flags: packet.TRUNCATED_RESPONSE, ttls: [9] }))
  cache.put('zero', answer({ ttls: [0] }))
  cache.put('denial', answer({ flags: 3 }))
  for (const key of ['servfail', 'cut', 'zero', 'denial']) assert.equal(cache.get(key), undefined, key)
})

test('put() drops the oldest entry when full', () => {
  const { cache } = cacheAt()
  for (const key of ['a', 'b', 'c', 'd']) cache.put(key, answer({ ttls: [9] }))
  assert.equal(cache.get('a'), undefined)
  assert.ok(cache.get('b') && cache.get('d'))
})
