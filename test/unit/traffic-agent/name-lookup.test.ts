import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type AddressResolver, lookupName } from '../../../src/traffic-agent/name-lookup.ts'

const search = ['default.svc.cluster.local', 'svc.cluster.local', 'cluster.local']

function resolver(zone: Record<string, string[]>, asked: string[] = []): AddressResolver {
  const answer = (isWanted: (address: string) => boolean) => async (name: string) => {
    asked.push(name)
    const found = zone[name]
    if (!found) throw Object.assign(new Error('none'), { code: 'ENOTFOUND' })
    const wanted = found.filter(isWanted)
    if (wanted.length === 0) throw Object.assign(new Error('none'), { code: 'ENODATA' })
    return wanted
  }
  return {
    resolve4: answer((address) => !address.includes(':')),
    resolve6: answer((address) => address.includes(':')),
  } as unknown as AddressResolver
}

const hex = (ips: Buffer[]): string[] => ips.map((ip) => ip.toString('hex'))

test('lookupName() answers IPv4 and IPv6 raw', async () => {
  const zone = resolver({ 'a.b': ['10.1.2.3', 'fd00::1', '::', '::ffff:10.0.0.1', '1:2:3:4:5:6:7:8', 'fe80::'] })
  assert.deepEqual(hex(await lookupName('a.b.', zone, search)), [
    '0a010203',
    'fd000000000000000000000000000001',
    '00000000000000000000000000000000',
    '00000000000000000000ffff0a000001',
    '00010002000300040005000600070008',
    'fe800000000000000000000000000000',
  ])
})

test('lookupName() looks a one-label name up below the search list only', async () => {
  const asked: string[] = []
  const zone = resolver({ web: ['9.9.9.9'], 'web.svc.cluster.local': ['10.0.0.1'] }, asked)
  assert.deepEqual(hex(await lookupName('web.', zone, search)), ['0a000001'])
  assert.ok(!asked.includes('web'))
})

test('lookupName() looks a dotted name up as it is first, then below the search list', async () => {
  const zone = resolver({ 'web.default.svc.cluster.local': ['10.0.0.1'], 'example.com': ['10.0.0.2'] })
  assert.deepEqual(hex(await lookupName('web.default.', zone, search)), ['0a000001'])
  assert.deepEqual(hex(await lookupName('example.com.', zone, search)), ['0a000002'])
  assert.deepEqual(await lookupName('no.such.name.', zone, search), [])
})

test('lookupName() throws when the name server does not answer', async () => {
  await assert.rejects(
    lookupName(
      'x.broken',
      {
        resolve4: async () => Promise.reject(Object.assign(new Error('timeout'), { code: 'ETIMEOUT' })),
        resolve6: async () => [],
      },
      [],
    ),
    { code: 'ETIMEOUT' },
  )
})
