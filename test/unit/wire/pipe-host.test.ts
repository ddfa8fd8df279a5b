import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Mux } from '../../../src/wire/mux.ts'
import { PipeHost, readStrandWords } from '../../../src/wire/pipe-host.ts'
import { readPreface } from '../../../src/wire/preface.ts'
import { openMux, socketPair } from './mux-fixture.ts'

const NAME = 'ab'.repeat(16)

describe('readStrandWords()', () => {
  it('reads name, position and grace, which has a limit', () => {
    assert.deepEqual(readStrandWords([NAME, '12', '600000']), { graceMs: 600_000, pipe: NAME, position: 12 })
    assert.equal(readStrandWords([NAME, '0', '999999999']).graceMs, 86_400_000)
  })

  for (const words of [[], ['short', '0', '1'], [NAME, '-1', '1'], [NAME, '0x1', '1'], [NAME, '0'], [NAME, '0', 'ever']])
    it(`throws USAGE for "${words.join(' ')}"`, () => assert.throws(() => readStrandWords(words), { code: 'USAGE' }))
})

describe('PipeHost', () => {
  /** Takes one strand with a host, and opens it from the other side. */
  async function take(host: PipeHost, muxes: Mux[], resume?: (stream: Awaited<ReturnType<typeof socketPair>>[0]) => Promise<void>) {
    const [near, far] = await socketPair()
    const accepted = readPreface(far).then((preface) => {
      assert.equal(preface.kind, 'tpx')
      if (preface.kind === 'tpx') host.accept(far, readStrandWords(preface.args.slice(1)), (mux) => muxes.push(mux))
    })
    const opened = resume ? await resume(near).then(() => undefined) : await openMux(near, 'data', 'bearer')
    await accepted
    return opened
  }

  it('makes a pipe once, and goes on with it over further strands', async () => {
    const host = new PipeHost()
    const muxes: Mux[] = []
    const opened = await take(host, muxes)
    muxes[0]!.onOffer = ({ accept }) => accept().end('hello')
    await take(host, muxes, opened!.resume)
    assert.equal(muxes.length, 1)
    let text = ''
    for await (const chunk of await opened!.mux.open('x')) text += String(chunk)
    assert.equal(text, 'hello')
    host.close()
    assert.equal(muxes[0]!.pipe.isClosed, true)
    opened!.mux.destroy()
  })

  it('knows no pipe of which bytes are gone, and makes none that is refused', async () => {
    const host = new PipeHost()
    const [near, far] = await socketPair()
    assert.throws(() => host.accept(far, { graceMs: 1000, pipe: NAME, position: 7 }, () => {}), { code: 'SESSION_LOST' })
    const refuse = (): void => {
      throw new Error('no')
    }
    assert.throws(() => host.accept(far, { graceMs: 1000, pipe: NAME, position: 0 }, refuse), /no/)
    assert.throws(() => host.accept(far, { graceMs: 1000, pipe: NAME, position: 7 }, () => {}), { code: 'SESSION_LOST' })
    near.destroy()
    far.destroy()
  })
})
