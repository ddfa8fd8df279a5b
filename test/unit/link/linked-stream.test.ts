import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Duplex, duplexPair } from 'node:stream'
import { test } from 'node:test'
import { linkStreams } from '../../../src/link/linked-stream.ts'

function pairs(): { a: Duplex; b: Duplex; done: Promise<{ error: Error | undefined }> } {
  const [a, innerA] = duplexPair()
  const [b, innerB] = duplexPair()
  a.on('error', () => {})
  b.on('error', () => {})
  return { a, b, done: linkStreams(innerA, innerB) }
}

test('linkStreams() carries bytes and a half-close both ways', async () => {
  const { a, b, done } = pairs()
  b.on('data', (bytes: Buffer) => b.write(`echo ${bytes.toString()}`)).on('end', () => b.end('bye'))
  a.end('hello')
  let heard = ''
  for await (const bytes of a as AsyncIterable<Buffer>) heard += bytes.toString()
  assert.equal(heard, 'echo hellobye')
  assert.deepEqual(await done, { error: undefined })
})

test('linkStreams() turns a failure of one side into a failure of the other, not into an end', async () => {
  const [, innerA] = duplexPair()
  const innerB = new Duplex({ read() {}, write: (_chunk, _encoding, callback) => callback() })
  let ended = false
  innerA.on('end', () => (ended = true))
  const done = linkStreams(innerA, innerB)
  const failed = once(innerA, 'error')
  innerB.destroy(new Error('reset'))
  assert.match(String((await failed)[0]), /reset/)
  assert.match(String((await done).error), /reset/)
  assert.equal(ended, false)
})

test('linkStreams() closes the other side when one was closed before', async () => {
  const [, innerA] = duplexPair()
  const [, innerB] = duplexPair()
  innerA.destroy()
  innerB.on('error', () => {})
  const { error } = await linkStreams(innerA, innerB)
  assert.match(String(error), /closed/)
})
