import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import dnsPacket from 'dns-packet'
import { type Answer, NXDOMAIN, type Question, SERVFAIL } from '../../../src/traffic-manager/dns-client.ts'
import { NameLookup } from '../../../src/traffic-manager/name-lookup.ts'

type Zone = Record<string, dnsPacket.Answer[]>

/** Cuts concatenated records apart again. */
function decodeRecords(bytes: Buffer): dnsPacket.Answer[] {
  const { answer } = dnsPacket as unknown as { answer: { decode: ((bytes: Buffer, at: number) => dnsPacket.Answer) & { bytes: number } } }
  const records: dnsPacket.Answer[] = []
  for (let at = 0; at < bytes.length; at += answer.decode.bytes) records.push(answer.decode(bytes, at))
  return records
}

const plain = (records: dnsPacket.Answer[]) => records.map((record) => [record.name, record.type, (record as { data?: unknown }).data])

function lookupIn(zone: Zone, names: string[] = []) {
  const resolve = async ({ name }: Question): Promise<Answer> => {
    names.push(name)
    if (name.startsWith('broken.')) throw new Error('no answer')
    const answers = zone[name.toLowerCase()]
    return answers ? { answers, rcode: 0 } : { answers: [], rcode: NXDOMAIN }
  }
  return new NameLookup({ clusterDomain: 'cluster.local', resolve })
}

const a = (name: string, data: string, ttl = 5): dnsPacket.Answer => ({ class: 'IN', data, name, ttl, type: 'A' })

describe('NameLookup', () => {
  const zone: Zone = {
    'web.shop.svc.cluster.local': [a('web.shop.svc.cluster.local', '10.96.0.1')],
    'web.bank.svc.cluster.local': [a('web.bank.svc.cluster.local', '10.96.0.2')],
    'web-0.web.shop.svc.cluster.local': [a('web-0.web.shop.svc.cluster.local', '10.244.0.3')],
    'example.com': [
      { class: 'IN', data: 'edge.example.net', name: 'example.com', ttl: 60, type: 'CNAME' },
      a('edge.example.net', '192.0.2.1', 30),
    ],
    '_http._tcp.web.shop.svc.cluster.local': [
      {
        class: 'IN',
        data: { port: 80, priority: 0, target: 'web.shop.svc.cluster.local', weight: 100 },
        name: '_http._tcp.web.shop.svc.cluster.local',
        ttl: 5,
        type: 'SRV',
      },
    ],
    '1.0.96.10.in-addr.arpa': [{ class: 'IN', data: 'web.shop.svc.cluster.local', name: '1.0.96.10.in-addr.arpa', ttl: 5, type: 'PTR' }],
  }

  for (const [asked, address] of [
    ['web.', '10.96.0.1'],
    ['web.bank.', '10.96.0.2'],
    ['web.bank.svc.', '10.96.0.2'],
    ['web.bank.svc.cluster.local.', '10.96.0.2'],
    ['web-0.web.', '10.244.0.3'],
  ] as const) {
    it(`lookup() finds "${asked}" as a Pod of namespace shop would, under the name that was asked for`, async () => {
      const { rcode, records } = await lookupIn(zone).lookup(asked, 1, 'shop')
      assert.equal(rcode, 0)
      assert.deepEqual(plain(decodeRecords(records)), [[asked.slice(0, -1), 'A', address]])
    })
  }

  it('lookup() keeps chains, targets and times to live', async () => {
    const { records } = await lookupIn(zone).lookup('example.com.', 1, 'shop')
    assert.deepEqual(
      decodeRecords(records).map((record) => [record.name, record.type, (record as { ttl?: number }).ttl]),
      [
        ['example.com', 'CNAME', 60],
        ['edge.example.net', 'A', 30],
      ],
    )
    const srv = decodeRecords((await lookupIn(zone).lookup('_http._tcp.web.', 33, 'shop')).records)
    assert.deepEqual(plain(srv), [['_http._tcp.web', 'SRV', { port: 80, priority: 0, target: 'web.shop.svc.cluster.local', weight: 100 }]])
  })

  it('lookup() asks only for the name itself when it is below the cluster domain, is a reverse name, or has five dots', async () => {
    for (const name of ['web.bank.svc.cluster.local', '1.0.96.10.in-addr.arpa', 'a.b.c.d.e.f']) {
      const names: string[] = []
      await lookupIn(zone, names).lookup(`${name}.`, 12, 'shop')
      assert.deepEqual(names, [name])
    }
  })

  it('lookup() never asks the Internet for a single label', async () => {
    const names: string[] = []
    const { rcode } = await lookupIn(zone, names).lookup('nothing.', 1, 'shop')
    assert.equal(rcode, NXDOMAIN)
    assert.ok(!names.includes('nothing'))
  })

  it('lookup() says SERVFAIL when the DNS does not answer', async () => {
    assert.equal((await lookupIn(zone).lookup('broken.svc.cluster.local.', 1, 'shop')).rcode, SERVFAIL)
  })

  it('addresses() gives the bytes of all addresses of a name', async () => {
    const found = await lookupIn(zone).addresses('web.', 'shop')
    assert.deepEqual(found[0], Buffer.of(10, 96, 0, 1))
    assert.deepEqual(await lookupIn(zone).addresses('nothing.', 'shop'), [])
  })
})
