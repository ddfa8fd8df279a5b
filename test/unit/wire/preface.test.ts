import assert from 'node:assert/strict'
import { duplexPair } from 'node:stream'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import fc from 'fast-check'
import { ACCEPTED, formatPreface, formatRefusal, openTpxStream, readLine, readPreface } from '../../../src/wire/preface.ts'

test('readPreface() tells HTTP/2 and puts every byte back', async () => {
  const [near, far] = duplexPair()
  near.end('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  assert.deepEqual(await readPreface(far), { kind: 'http2' })
  assert.equal(await text(far), 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
})

test('readPreface() reads verb and arguments and leaves what follows', async () => {
  const [near, far] = duplexPair()
  near.end(`${formatPreface('data', 'id-1', 'x')}rest`)
  assert.deepEqual(await readPreface(far), { args: ['id-1', 'x'], kind: 'tpx', verb: 'data' })
  assert.equal(await text(far), 'rest')
})

test('readPreface() throws when the stream is neither or ends first', async () => {
  for (const bytes of ['TLS?\n', 'TPX/1']) {
    const [near, far] = duplexPair()
    near.end(bytes)
    await assert.rejects(readPreface(far), { code: 'CARRIER_FAILED' })
  }
})

test('readLine() gives line and rest whole, however the bytes are cut', async () => {
  await fc.assert(
    fc.asyncProperty(fc.stringMatching(/^[ -~]{0,80}$/), fc.string(), fc.nat(100), async (line, rest, cut) => {
      const [near, far] = duplexPair()
      const all = Buffer.from(`${line}\n${rest}`)
      near.write(all.subarray(0, cut % (all.length + 1)))
      near.end(all.subarray(cut % (all.length + 1)))
      assert.equal(await readLine(far), line)
      assert.equal(await text(far), rest)
    }),
    { numRuns: 50 },
  )
})

test('readLine() throws when the line is too long', async () => {
  const [near, far] = duplexPair()
  near.write('x'.repeat(2000))
  await assert.rejects(readLine(far), { code: 'CARRIER_FAILED' })
})

test('openTpxStream() throws the code that the other side refused with', async () => {
  const [near, far] = duplexPair()
  const opened = openTpxStream(near, 'inbound', 'key')
  assert.equal(await readLine(far), 'TPX/1 inbound key')
  far.write(formatRefusal('ATTACHMENT_NOT_FOUND', 'No such\nkey'))
  await assert.rejects(opened, { code: 'ATTACHMENT_NOT_FOUND', message: 'No such key' })
})

test('openTpxStream() leaves the bytes behind the answer', async () => {
  const [near, far] = duplexPair()
  const opened = openTpxStream(near, 'files', 'key')
  far.end(`${ACCEPTED}payload`)
  await opened
  assert.equal(await text(near), 'payload')
})
