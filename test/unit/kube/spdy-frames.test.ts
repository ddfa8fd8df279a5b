import assert from 'node:assert/strict'
import { test } from 'node:test'
import { constants, inflateSync } from 'node:zlib'
import fc from 'fast-check'
import { dataHead, ping, rstStream, SPDY_TYPE, SpdyReader, synStream } from '../../../src/kube/port-forward/spdy-frames.ts'

type Seen = { bytes: Record<number, Buffer>; control: number[]; ended: number[] }

function read(whole: Buffer, pieces: number[]): Seen {
  const seen: Seen = { bytes: {}, control: [], ended: [] }
  const reader = new SpdyReader({
    control: ({ type }) => seen.control.push(type),
    data: (id, part) => (seen.bytes[id] = Buffer.concat([seen.bytes[id] ?? Buffer.alloc(0), part])),
    dataEnd: (id) => seen.ended.push(id),
  })
  let at = 0
  for (const piece of pieces) reader.push(whole.subarray(at, (at += piece)))
  reader.push(whole.subarray(at))
  return seen
}

test('SpdyReader finds the same frames however the bytes are cut', () => {
  const frame = fc.oneof(
    fc.record({ bytes: fc.uint8Array({ maxLength: 300 }), id: fc.integer({ max: 9, min: 1 }), isFin: fc.boolean() }),
    fc.constantFrom(ping(2), rstStream(3, 5)),
  )
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 8 }), fc.array(fc.integer({ max: 40, min: 1 }), { maxLength: 60 }), (frames, pieces) => {
      const whole = Buffer.concat(
        frames.map((one) => (Buffer.isBuffer(one) ? one : Buffer.concat([dataHead(one.id, one.bytes.length, one.isFin), one.bytes]))),
      )
      assert.deepEqual(read(whole, pieces), read(whole, []))
    }),
  )
})

test('SpdyReader gives data, ends and control frames', () => {
  const whole = Buffer.concat([dataHead(3, 2), Buffer.from('ab'), ping(7), dataHead(3, 1, true), Buffer.from('c'), dataHead(1, 0, true)])
  const seen = read(whole, [1, 1, 1])
  assert.equal(seen.bytes[3]?.toString(), 'abc')
  assert.deepEqual(seen.control, [SPDY_TYPE.ping])
  assert.deepEqual(seen.ended, [3, 1])
})

test('SpdyReader throws for a control frame that is too long to keep', () => {
  assert.throws(() => read(Buffer.from([0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff]), []), /control frame/)
})

test('synStream() holds its headers in a zlib stream of stored blocks', () => {
  const frame = synStream(1, { port: '8080', streamtype: 'data' }, { isFin: true, isFirst: true })
  assert.equal(frame[4], 1)
  const block = inflateSync(frame.subarray(18), { finishFlush: constants.Z_SYNC_FLUSH })
  assert.equal(block.readUInt32BE(0), 2)
  assert.match(block.toString('latin1'), /port.*8080.*streamtype.*data/s)
})
