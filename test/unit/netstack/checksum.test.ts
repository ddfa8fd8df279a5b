import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { foldSum, sumWords } from '../../../src/netstack/checksum.ts'

describe('checksum', () => {
  it('sumWords() and foldSum() give the sum of RFC 1071 §3', () => {
    // 0001 + f203 + f4f5 + f6f7 = 2ddf0, folded ddf2, inverted 220d
    assert.equal(foldSum(sumWords(Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7))), 0x220d)
  })

  it('foldSum() of data with its checksum is 0 (RFC 1071 §1)', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const even = bytes.length % 2 === 0 ? bytes : Uint8Array.of(...bytes, 0)
        const sum = foldSum(sumWords(even))
        assert.equal(foldSum(sumWords(Uint8Array.of(...even, sum >> 8, sum & 0xff))), 0)
      }),
    )
  })

  it('sumWords() does not mind the order of words (RFC 1071 §2 A)', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ maxLength: 200 }), (a, b) => {
        const left = a.subarray(0, a.length & ~1)
        assert.equal(foldSum(sumWords(b, sumWords(left))), foldSum(sumWords(left, sumWords(b))))
      }),
    )
  })

  it('sumWords() takes an odd last byte as the high one', () => {
    assert.equal(sumWords(Uint8Array.of(0x12)), 0x1200)
  })

  it('foldSum() folds the largest sum of a packet', () => {
    assert.equal(foldSum(sumWords(new Uint8Array(65_535).fill(0xff))), foldSum(0xff00))
  })
})
