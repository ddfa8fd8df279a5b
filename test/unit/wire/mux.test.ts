import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { MuxStream } from '../../../src/wire/mux-stream.ts'
import { muxPair } from './mux-fixture.ts'

async function digest(stream: MuxStream): Promise<{ bytes: number; hash: string }> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    hash.update(chunk)
    bytes += chunk.length
  }
  return { bytes, hash: hash.digest('hex') }
}

const hashOf = (data: Buffer): string => createHash('sha256').update(data).digest('hex')

describe('Mux', () => {
  it('carries bytes both ways and keeps half-close in both directions', async () => {
    await using pair = await muxPair()
    const payload = randomBytes(3_000_000)
    pair.server.onOffer = ({ accept }) => {
      const stream = accept()
      void digest(stream).then(({ hash }) => stream.end(hash))
    }
    const stream = await pair.client.open('x')
    stream.end(payload)
    let answer = ''
    for await (const chunk of stream) answer += String(chunk)
    assert.equal(answer, hashOf(payload))
    await sleep(20)
    assert.deepEqual([pair.client.size, pair.server.size], [0, 0])
  })

  it("open() rejects with the far side's code, and gives it the request", async () => {
    await using pair = await muxPair()
    let asked = ''
    pair.server.onOffer = ({ refuse, request }) => {
      asked = request
      refuse('ECONNREFUSED')
    }
    await assert.rejects(pair.client.open('tcp 10.0.0.1:80'), { code: 'ECONNREFUSED' })
    assert.equal(asked, 'tcp 10.0.0.1:80')
  })

  it('open() can be given up, which the far side sees', async () => {
    await using pair = await muxPair()
    const seen = Promise.withResolvers<void>()
    pair.server.onOffer = ({ gone }) => gone.addEventListener('abort', () => seen.resolve())
    const giveUp = new AbortController()
    const opening = pair.client.open('x', giveUp.signal)
    await sleep(10)
    giveUp.abort()
    await assert.rejects(opening, { code: 'ECONNABORTED' })
    await seen.promise
  })

  it('a reset on one side is an error on the other, never an end', async () => {
    await using pair = await muxPair()
    const far = Promise.withResolvers<MuxStream>()
    pair.server.onOffer = ({ accept }) => far.resolve(accept())
    const stream = await pair.client.open('x')
    const events: string[] = []
    stream
      .on('end', () => events.push('end'))
      .on('error', () => events.push('error'))
      .resume()
    const other = await far.promise
    other.write('abc')
    other.destroy(new Error('reset'))
    await new Promise((resolve) => stream.once('close', resolve))
    assert.deepEqual(events, ['error'])
  })

  it('streams live through lost strands, byte for byte', { timeout: 60_000 }, async () => {
    await using pair = await muxPair()
    const payloads = Array.from({ length: 12 }, () => randomBytes(400_000 + Math.floor(Math.random() * 1_500_000)))
    const results = payloads.map(async (payload) => {
      const stream = await pair.client.open('x')
      const got = digest(stream)
      for (let at = 0; at < payload.length;) {
        const size = 1 + Math.floor(Math.random() * 90_000)
        if (!stream.write(payload.subarray(at, at + size))) await once(stream, 'drain')
        at += size
      }
      stream.end()
      return got
    })
    let isDone = false
    const all = Promise.all(results).finally(() => (isDone = true))
    let cuts = 0
    while (!isDone) {
      await sleep(Math.random() * 12)
      if (isDone) break
      pair.cut()
      cuts += 1
      await sleep(Math.random() * 4)
      await pair.connect()
    }
    const got = await all
    assert.deepEqual(
      got.map(({ hash }) => hash),
      payloads.map(hashOf),
    )
    assert.ok(cuts > 3, `only ${cuts} cuts`)
  })

  it('a request that is under way lives through a lost strand', async () => {
    await using pair = await muxPair()
    pair.cut()
    const opening = pair.client.open('x')
    await sleep(10)
    await pair.connect()
    const stream = await opening
    stream.end('hello')
    assert.equal((await digest(stream)).bytes, 5)
  })

  it('resets everything on both sides when it is destroyed', async () => {
    await using pair = await muxPair()
    const far = Promise.withResolvers<MuxStream>()
    pair.server.onOffer = ({ accept }) => far.resolve(accept())
    const near = await pair.client.open('x')
    const other = await far.promise
    const ends = [near, other].map(
      (stream) =>
        new Promise((resolve) =>
          stream
            .once('error', () => resolve('error'))
            .once('end', () => resolve('end'))
            .resume(),
        ),
    )
    pair.client.destroy()
    assert.deepEqual(await Promise.all(ends), ['error', 'error'])
    await assert.rejects(pair.client.open('x'), { code: 'ECONNRESET' })
  })

  it('resets everything when no strand comes within the grace time', async () => {
    await using pair = await muxPair({ graceMs: 60 })
    const stream = await pair.client.open('x')
    pair.cut()
    await once(stream, 'error')
    assert.equal(pair.client.pipe.isClosed, true)
  })

  it('holds little for a reader that stalls, and lets the others pass', async () => {
    await using pair = await muxPair()
    const stalled: MuxStream[] = []
    pair.server.onOffer = ({ accept, request }) => {
      const stream = accept()
      if (request === 'stall') stalled.push(stream)
      else stream.pipe(stream)
    }
    const block = Buffer.alloc(1 << 20)
    for (let n = 0; n < 16; n++) {
      const stream = await pair.client.open('stall')
      for (let m = 0; m < 8; m++) stream.write(block)
    }
    await sleep(100)
    const held = stalled.reduce((sum, stream) => sum + stream.readableLength, 0)
    assert.ok(held <= 16 * (192 << 10), `${held} bytes are held`)
    const other = await pair.client.open('echo')
    const payload = randomBytes(2_000_000)
    other.end(payload)
    assert.equal((await digest(other)).hash, hashOf(payload))
  })

  it('shares the way between many streams', async () => {
    await using pair = await muxPair()
    const got: number[] = Array.from({ length: 50 }, () => 0)
    pair.server.onOffer = ({ accept, request }) => accept().on('data', (chunk: Buffer) => (got[Number(request)]! += chunk.length))
    const block = Buffer.alloc(64 << 10)
    const streams = await Promise.all(got.map((_, n) => pair.client.open(String(n))))
    for (const stream of streams) {
      const more = (): void => {
        while (!stream.destroyed && stream.write(block));
      }
      stream.on('drain', more)
      more()
    }
    await sleep(100)
    got.fill(0)
    await sleep(400)
    const [least, most] = [Math.min(...got), Math.max(...got)]
    assert.ok(least > 0 && most < 4 * least, `between ${least} and ${most} bytes`)
  })

  it('tells the far side that it wants no new streams', async () => {
    await using pair = await muxPair()
    pair.client.drain()
    await sleep(20)
    assert.equal(pair.server.isDraining, true)
  })
})

describe('Pipe', () => {
  it('notices a strand on which nothing comes any more', async () => {
    await using pair = await muxPair({ pings: true, silentMs: 120 })
    const [near] = pair.strand()
    await sleep(200)
    assert.equal(pair.client.pipe.isUp, true)
    assert.ok(pair.client.pipe.state.roundTripMs! >= 0)
    pair.strand()[1].pause()
    near.pause()
    await sleep(300)
    assert.equal(pair.client.pipe.isUp, false)
  })

  it('ends rather than go on from a byte that cannot be', async () => {
    await using pair = await muxPair()
    const stream = await pair.client.open('x')
    stream.write('hello')
    await once(stream, 'data')
    await sleep(80)
    pair.cut()
    pair.server.pipe.attach(pair.strand()[1], 1_000_000)
    assert.equal(pair.server.pipe.isClosed, true)
  })
})
