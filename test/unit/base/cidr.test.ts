import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  addressAt,
  compareCidrs,
  contains,
  hostBits,
  hostCidr,
  isAddress,
  isCidr,
  normalizeCidr,
  offsetIn,
  overlaps,
  subtractCidr,
  withoutNested,
} from '../../../src/base/cidr.ts'

describe('CIDR', () => {
  it('isCidr() takes whole addresses with a prefix length only', () => {
    for (const text of ['10.0.0.0/8', '10.1.2.3/32', '0.0.0.0/0', 'fd00::/8', '::1/128']) assert.ok(isCidr(text), text)
    for (const text of [
      '10.0.0.0',
      '10/8',
      '10.0.0.0/33',
      '10.0.0/8',
      'fd00::/129',
      'fe80::1%eth0/64',
      'web-app/8',
      '',
      '/',
      '10.0.0.0/08x',
      '10.0.0.256/8',
    ])
      assert.ok(!isCidr(text), text)
    assert.ok(isAddress('10.0.0.1') && isAddress('fd00::1') && !isAddress('10.1') && !isAddress('1'))
  })

  it('normalizeCidr() clears the bits behind the prefix', () => {
    assert.equal(normalizeCidr('10.96.3.4/12'), '10.96.0.0/12')
    assert.equal(normalizeCidr('fd96::1:2/64'), 'fd96::/64')
    assert.equal(normalizeCidr('255.255.255.255/0'), '0.0.0.0/0')
  })

  it('contains() and overlaps() compare subnets of one family', () => {
    assert.ok(contains('10.0.0.0/8', '10.96.0.0/16'))
    assert.ok(contains('10.0.0.0/8', '10.0.0.0/8'))
    assert.ok(contains('fd96::/64', 'fd96::1/128'))
    assert.ok(!contains('10.96.0.0/16', '10.0.0.0/8'))
    assert.ok(!contains('0.0.0.0/0', 'fd96::/64'))
    assert.ok(overlaps('10.96.0.0/16', '10.0.0.0/8') && !overlaps('10.0.0.0/9', '10.128.0.0/9'))
  })

  it('withoutNested() keeps the outermost', () => {
    assert.deepEqual(withoutNested(['10.1.0.0/16', '10.0.0.0/8', '10.0.0.1/8', 'fd00::/8']), ['10.0.0.0/8', 'fd00::/8'])
  })

  it('subtractCidr() leaves exactly the rest', () => {
    assert.deepEqual(subtractCidr('10.0.0.0/30', '10.0.0.1/32'), ['10.0.0.0/32', '10.0.0.2/31'])
    assert.deepEqual(subtractCidr('10.0.0.0/8', '10.0.0.0/8'), [])
    assert.deepEqual(subtractCidr('10.1.0.0/16', '10.0.0.0/8'), [])
    assert.deepEqual(subtractCidr('10.1.0.0/16', '10.2.0.0/16'), ['10.1.0.0/16'])
    assert.deepEqual(subtractCidr('10.1.0.0/16', 'fd00::/8'), ['10.1.0.0/16'])
    const left = subtractCidr('10.96.0.0/12', '10.96.0.1/32')
    assert.equal(left.length, 20)
    const size = left.reduce((sum, cidr) => sum + 2 ** hostBits(cidr), 0)
    assert.equal(size, 2 ** 20 - 1)
    assert.ok(!left.some((cidr) => contains(cidr, '10.96.0.1/32')))
    assert.equal(subtractCidr('fd00::/64', 'fd00::5/128').length, 64)
  })

  it('addressAt() and offsetIn() are each other’s reverse', () => {
    assert.equal(addressAt('10.96.0.0/16', 258n), '10.96.1.2')
    assert.equal(offsetIn('10.96.0.0/16', '10.96.1.2'), 258n)
    assert.equal(addressAt('fd00:1::/64', 2n ** 64n - 1n), 'fd00:1::ffff:ffff:ffff:ffff')
    assert.equal(offsetIn('fd00:1::/64', 'fd00:1::ffff:ffff:ffff:ffff'), 2n ** 64n - 1n)
  })

  it('hostCidr(), hostBits() and compareCidrs() know both families', () => {
    assert.deepEqual([hostCidr('10.0.0.1'), hostCidr('fd00::1')], ['10.0.0.1/32', 'fd00::1/128'])
    assert.deepEqual([hostBits('10.0.0.0/8'), hostBits('fd00::/64')], [24, 64])
    assert.deepEqual(['fd00::/8', '10.2.0.0/16', '10.10.0.0/16', '10.2.0.0/24'].sort(compareCidrs), [
      '10.2.0.0/16',
      '10.2.0.0/24',
      '10.10.0.0/16',
      'fd00::/8',
    ])
  })
})
