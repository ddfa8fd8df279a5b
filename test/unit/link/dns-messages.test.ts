import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decode, encode, RECURSION_DESIRED } from 'dns-packet'
import fc from 'fast-check'
import { LengthPrefixReader, withLength } from '../../../src/base/length-prefix.ts'
import { serverFailure } from '../../../src/link/dns-messages.ts'

test('LengthPrefixReader reverses withLength() however the bytes are cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 80 }), { maxLength: 10 }),
      fc.array(fc.integer({ max: 20, min: 1 }), { maxLength: 40 }),
      (messages, cuts) => {
        const whole = Buffer.concat(messages.map((message) => withLength(Buffer.from(message))))
        const reader = new LengthPrefixReader()
        const found: Buffer[] = []
        let at = 0
        for (const cut of cuts) found.push(...reader.push(whole.subarray(at, (at += cut))))
        found.push(...reader.push(whole.subarray(at)))
        assert.deepEqual(
          found.map((one) => [...one]),
          messages.map((one) => [...one]),
        )
      },
    ),
  )
})

test('serverFailure() repeats id and question, and leaves everything else out', () => {
  const query = encode({
    additionals: [{ name: '.', type: 'OPT' } as never],
    flags: RECURSION_DESIRED,
    id: 4711,
    questions: [{ name: 'a.example', type: 'A' }],
    type: 'query',
  })
  const answer = decode(serverFailure(query)!) as ReturnType<typeof decode> & { rcode: string }
  assert.equal(answer.id, 4711)
  assert.equal(answer.type, 'response')
  assert.equal(answer.rcode, 'SERVFAIL')
  assert.deepEqual(
    answer.questions?.map(({ name, type }) => [name, type]),
    [['a.example', 'A']],
  )
  assert.equal(answer.additionals?.length, 0)
})

test('serverFailure() never throws, whatever it is given', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      const answer = serverFailure(Buffer.from(bytes))
      assert.equal(answer === undefined, bytes.length < 12)
    }),
  )
})
