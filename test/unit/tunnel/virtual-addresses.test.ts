import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { VirtualAddresses } from '../../../src/tunnel/virtual-addresses.ts'
import type { VirtualSubnet } from '../../../src/wire/control.ts'

const subnet = (cidr: string, virtual: string, more: Partial<VirtualSubnet> = {}): VirtualSubnet => ({
  cidr,
  isPrefix: true,
  reason: 'vnat',
  virtual,
  workload: null,
  ...more,
})

function aMapping(...subnets: VirtualSubnet[]): VirtualAddresses {
  const addresses = new VirtualAddresses()
  addresses.configure(subnets, [])
  return addresses
}

describe('VirtualAddresses', () => {
  it('keeps each address its place in a block, both ways', () => {
    const addresses = aMapping(subnet('10.244.1.0/24', '246.246.128.0/24'), subnet('fd00:10::/64', 'fd00:7470:1:8000::/64'))
    assert.equal(addresses.toVirtual('10.244.1.77'), '246.246.128.77')
    assert.deepEqual(addresses.toReal('246.246.128.77'), { address: '10.244.1.77', workload: null })
    assert.equal(addresses.toVirtual('fd00:10::abcd'), 'fd00:7470:1:8000::abcd')
    assert.deepEqual(addresses.toReal('fd00:7470:1:8000::abcd'), { address: 'fd00:10::abcd', workload: null })
    assert.equal(addresses.toVirtual('10.244.2.1'), undefined)
    assert.equal(addresses.toReal('10.244.1.77'), undefined)
    assert.deepEqual(addresses.entries(), [])
  })

  it('hands addresses out one by one where a block would be too large, the same one each time', () => {
    const addresses = aMapping(subnet('10.96.0.0/16', '246.246.0.0/17', { isPrefix: false }))
    assert.equal(addresses.toReal('246.246.5.5'), null)
    const one = addresses.toVirtual('10.96.5.5')
    assert.equal(one, '246.246.5.5')
    assert.equal(addresses.toVirtual('10.96.5.5'), one)
    // Differs in the bit that the pool does not have.
    const other = addresses.toVirtual('10.96.133.5')
    assert.equal(other, '246.246.5.6')
    assert.deepEqual(addresses.toReal('246.246.5.6'), { address: '10.96.133.5', workload: null })
    assert.notEqual(addresses.toVirtual('10.96.0.0'), '246.246.0.0')
  })

  it('goes on from what another process gave out', () => {
    const subnets = [subnet('10.96.0.0/16', '246.246.0.0/17', { isPrefix: false })]
    const first = aMapping(...subnets)
    first.toVirtual('10.96.5.5')
    first.toVirtual('10.96.133.5')
    const second = aMapping(...subnets)
    second.restore(first.entries())
    assert.equal(second.toVirtual('10.96.133.5'), '246.246.5.6')
    assert.deepEqual(second.toReal('246.246.5.6')?.address, '10.96.133.5')
  })

  it('gives the address that was silent longest to another one when all are taken', () => {
    const addresses = aMapping(subnet('10.96.0.0/16', '246.246.0.0/30', { isPrefix: false }))
    const [first, second, third] = ['10.96.1.1', '10.96.1.2', '10.96.1.3'].map((real) => addresses.toVirtual(real) ?? '')
    assert.equal(new Set([first, second, third]).size, 3)
    assert.equal(addresses.toReal(first ?? '')?.address, '10.96.1.1')
    assert.equal(addresses.toVirtual('10.96.9.9'), second)
    assert.equal(addresses.toReal(second ?? '')?.address, '10.96.9.9')
    assert.equal(addresses.toReal(first ?? '')?.address, '10.96.1.1')
  })

  it('the narrower subnet decides, with its workload; what is never proxied keeps its own address', () => {
    const addresses = aMapping(
      subnet('10.96.0.0/16', '246.246.0.0/17', { isPrefix: false }),
      subnet('10.96.7.0/24', '246.246.128.0/24', { reason: 'proxy-via', workload: 'db' }),
    )
    assert.deepEqual(addresses.toReal(addresses.toVirtual('10.96.7.9') ?? ''), { address: '10.96.7.9', workload: 'db' })
    assert.equal(addresses.toReal(addresses.toVirtual('10.96.8.9') ?? '')?.workload, null)
    addresses.configure([subnet('10.244.1.0/24', '246.246.128.0/24')], ['10.244.1.7/32'])
    assert.equal(addresses.toVirtual('10.244.1.7'), undefined)
    assert.equal(addresses.toVirtual('10.96.8.9'), undefined)
  })
})
