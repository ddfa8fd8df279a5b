import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TYPE } from '../../../src/dns/codes.ts'
import { encodeName, makeRecord, splitRecords } from '../../../src/dns/records.ts'
import { parseAddress } from '../../../src/netstack/ip-address.ts'
import {
  lookupTranslated,
  reverseName,
  translateLiterals,
  translateMapping,
  translateRecords,
} from '../../../src/tunnel/address-translation.ts'
import { VirtualAddresses } from '../../../src/tunnel/virtual-addresses.ts'

const record = (name: string, type: number, data: Uint8Array): Buffer => makeRecord(type, 5, data, encodeName(name))
const ipv6 = (text: string): Buffer => Buffer.from(parseAddress(text) ?? [])

function aMapping(): VirtualAddresses {
  const addresses = new VirtualAddresses()
  const more = { isPrefix: true, reason: 'vnat', workload: null } as const
  addresses.configure(
    [
      { cidr: '10.96.0.0/24', virtual: '246.246.128.0/24', ...more },
      { cidr: 'fd00:10::/64', virtual: 'fd00:7470:1:8000::/64', ...more },
    ],
    [],
  )
  return addresses
}
const toVirtual = (real: string): string | undefined => aMapping().toVirtual(real)

describe('address translation', () => {
  it('translateRecords() changes A and AAAA records and nothing else', () => {
    const srv = record('a.svc', TYPE.srv, Uint8Array.of(10, 96, 0, 7))
    const records = Buffer.concat([
      record('a.svc', TYPE.a, Uint8Array.of(10, 96, 0, 7)),
      srv,
      record('a.svc', TYPE.a, Uint8Array.of(10, 97, 0, 7)),
      record('a.svc', TYPE.aaaa, ipv6('fd00:10::7')),
    ])
    const translated = splitRecords(translateRecords(records, toVirtual), 'a.svc', 600).map(({ bytes }) => bytes)
    assert.deepEqual([...(translated[0]?.subarray(-4) ?? [])], [246, 246, 128, 7])
    assert.deepEqual(translated[1]?.subarray(-4), srv.subarray(-4))
    assert.deepEqual([...(translated[2]?.subarray(-4) ?? [])], [10, 97, 0, 7])
    assert.deepEqual(translated[3]?.subarray(-16), ipv6('fd00:7470:1:8000::7'))
  })

  it('lookupTranslated() answers the reverse name of a virtual address with the real one’s name', async () => {
    const asked: string[] = []
    const lookup = async (name: string) => {
      asked.push(name)
      return { rcode: 0, records: record('7.0.96.10.in-addr.arpa', TYPE.ptr, encodeName('web-app.default.svc.cluster.local')) }
    }
    const name = '7.128.246.246.in-addr.arpa.'
    const { records } = await lookupTranslated(aMapping(), { lookup, name, type: TYPE.ptr })
    assert.deepEqual(asked, ['7.0.96.10.in-addr.arpa.'])
    assert.deepEqual(records, record(name, TYPE.ptr, encodeName('web-app.default.svc.cluster.local')))
    await lookupTranslated(aMapping(), { lookup, name: '7.0.97.10.in-addr.arpa.', type: TYPE.ptr })
    assert.equal(asked[1], '7.0.97.10.in-addr.arpa.')
  })

  it('reverseName() is that of RFC 1035 and RFC 3596', () => {
    assert.equal(reverseName('10.96.0.7'), '7.0.96.10.in-addr.arpa')
    assert.equal(reverseName('fd00:10::7'), `7.${'0.'.repeat(23)}0.1.0.0.0.0.d.f.ip6.arpa`)
    assert.equal(reverseName('fd00:10::7').length, 32 * 2 - 1 + '.ip6.arpa'.length)
  })

  it('translateMapping() changes a mapping to an address, and none to a name', () => {
    const aliasOf = (aliasFor: string): string => translateMapping({ aliasFor, name: 'db' }, aMapping()).aliasFor
    assert.deepEqual(['10.96.0.7', '10.97.0.7', 'db.example.com', '10.96'].map(aliasOf), [
      '246.246.128.7',
      '10.97.0.7',
      'db.example.com',
      '10.96',
    ])
  })

  it('translateLiterals() finds addresses in values, but not subnets, versions and longer numbers', () => {
    const cases: [string, string][] = [
      ['10.96.0.7', '246.246.128.7'],
      ['tcp://10.96.0.7:80', 'tcp://246.246.128.7:80'],
      ['a=10.96.0.7,b=10.96.0.8;10.97.0.1', 'a=246.246.128.7,b=246.246.128.8;10.97.0.1'],
      ['10.96.0.0/24,localhost', '10.96.0.0/24,localhost'],
      ['v10.96.0.7', 'v10.96.0.7'],
      ['10.96.0.7.1', '10.96.0.7.1'],
      ['1.10.96.0.7', '1.10.96.0.7'],
      ['10.96.0.700', '10.96.0.700'],
      ['The host is 10.96.0.7.', 'The host is 246.246.128.7.'],
      ['http://[fd00:10::7]:80/', 'http://[fd00:7470:1:8000::7]:80/'],
      ['fd00:10::7', 'fd00:7470:1:8000::7'],
      ['fd00:10::/64', 'fd00:10::/64'],
      ['12:34:56', '12:34:56'],
      ['two\nlines 10.96.0.7\n', 'two\nlines 246.246.128.7\n'],
    ]
    for (const [value, expected] of cases) assert.deepEqual(translateLiterals({ X: value }, toVirtual), { X: expected }, value)
  })
})
