import assert from 'node:assert/strict'
import { duplexPair } from 'node:stream'
import { test } from 'node:test'
import fc from 'fast-check'
import { DockerDemux } from '../../../src/link/docker-demux.ts'

function frame(type: number, text: string): Buffer {
  const head = Buffer.alloc(8)
  head[0] = type
  head.writeUInt32BE(Buffer.byteLength(text), 4)
  return Buffer.concat([head, Buffer.from(text)])
}

test('DockerDemux hands out standard output only, however the bytes are cut', async () => {
  const frames = fc.array(fc.tuple(fc.constantFrom(1, 2), fc.string({ maxLength: 40 })), { maxLength: 8 })
  await fc.assert(
    fc.asyncProperty(frames, fc.integer({ max: 30, min: 1 }), async (list, size) => {
      const [far, near] = duplexPair()
      let stderr = ''
      const demux = new DockerDemux(near, (text) => (stderr += text))
      const whole = Buffer.concat(list.map(([type, text]) => frame(type, text)))
      for (let at = 0; at < whole.length; at += size) far.write(whole.subarray(at, at + size))
      far.end()
      let stdout = ''
      for await (const bytes of demux as AsyncIterable<Buffer>) stdout += bytes.toString('latin1')
      const expected = (type: number): string =>
        list
          .filter(([one]) => one === type)
          .map(([, text]) => Buffer.from(text).toString('latin1'))
          .join('')
      assert.equal(stdout, expected(1))
      if (/^[\x20-\x7e]*$/.test(expected(2))) assert.equal(stderr, expected(2))
    }),
    { numRuns: 50 },
  )
})

test('DockerDemux writes through, and an end goes on as an end', async () => {
  const [far, near] = duplexPair()
  const demux = new DockerDemux(near, () => {})
  demux.end('input')
  let heard = ''
  for await (const bytes of far as AsyncIterable<Buffer>) heard += bytes.toString()
  assert.equal(heard, 'input')
})
