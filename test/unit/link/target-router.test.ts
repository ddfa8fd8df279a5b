import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Duplex, duplexPair, PassThrough } from 'node:stream'
import { test } from 'node:test'
import { TpxError } from '../../../src/base/error.ts'
import { silentLogger } from '../../../src/base/logger.ts'
import { type Destinations, TargetRouter } from '../../../src/link/target-router.ts'
import { readLine } from '../../../src/wire/preface.ts'

function route(destinations: Partial<Destinations>): { near: Duplex; taken: () => number } {
  const [near, far] = duplexPair()
  let taken = 0
  const all: Destinations = {
    cluster: new Promise(() => {}),
    control: { adopt: () => {} },
    dial: { adopt: () => {} },
    dns: () => {},
    ...destinations,
  }
  void new TargetRouter(all, silentLogger(), new AbortController().signal).route(far, () => (taken += 1))
  return { near, taken: () => taken }
}

test('TargetRouter answers ok and joins the stream with the Pod', async () => {
  const opened: unknown[] = []
  const { near, taken } = route({
    cluster: Promise.resolve({
      open: async (target) => {
        opened.push(target)
        return new PassThrough()
      },
    }),
  })
  near.write('web-0.default.pod:9900\nearly ')
  assert.equal(await readLine(near), '{"ok":true}')
  near.end('late')
  let heard = ''
  for await (const bytes of near as AsyncIterable<Buffer>) heard += bytes.toString()
  assert.equal(heard, 'early late')
  assert.equal(taken(), 1)
  assert.deepEqual(opened, [{ kind: 'pod', name: 'web-0', namespace: 'default', port: 9900 }])
})

test('TargetRouter answers with the error record when the Pod cannot be reached', async () => {
  const open = async (): Promise<Duplex> => {
    throw new TpxError('POD_NOT_FOUND', 'There is no Pod "x"', { hint: 'look' })
  }
  const { near } = route({ cluster: Promise.resolve({ open }) })
  near.write('x.default.pod:1\n')
  assert.deepEqual(JSON.parse(await readLine(near)), { error: { code: 'POD_NOT_FOUND', hint: 'look', message: 'There is no Pod "x"' } })
  await once(near.resume(), 'end')
})

test('TargetRouter refuses a line that is no target', async () => {
  const { near } = route({})
  near.write('GET / HTTP/1.1\n')
  assert.match(await readLine(near), /CARRIER_FAILED/)
})

test('TargetRouter tells the tunnel nothing of what a credential plugin wrote', async () => {
  const open = () => Promise.reject(new TpxError('CREDENTIAL_PLUGIN_FAILED', 'The plugin failed: my words', { hint: 'Sign in' }))
  const { near } = route({ cluster: Promise.resolve({ open }) })
  near.write('x.default.pod:1\n')
  const [answer] = (await once(near, 'data')) as [Buffer]
  assert.match(answer.toString(), /CREDENTIAL_PLUGIN_FAILED/)
  assert.doesNotMatch(answer.toString(), /my words/)
})

test('TargetRouter aborts the attempt when the tunnel gives up', async () => {
  let aborted: Promise<unknown> | undefined
  const isAsked = new Promise<void>((resolve) => {
    const open = (_target: unknown, signal: AbortSignal): Promise<Duplex> => {
      aborted = once(signal, 'abort')
      resolve()
      return new Promise(() => {})
    }
    const [near, far] = duplexPair()
    const destinations: Destinations = {
      cluster: Promise.resolve({ open }),
      control: { adopt: () => {} },
      dial: { adopt: () => {} },
      dns: () => {},
    }
    void new TargetRouter(destinations, silentLogger(), new AbortController().signal).route(far)
    near.write('x.default.pod:1\n')
    setImmediate(() => setImmediate(() => far.destroy()))
  })
  await isAsked
  await aborted
})

test('TargetRouter hands control and dns streams on', async () => {
  for (const kind of ['control', 'dns'] as const) {
    const got = new Promise<Duplex>((resolve) => {
      const { near } = route({ control: { adopt: resolve }, dns: resolve })
      near.write(`${kind}\nrest`)
    })
    const [rest] = (await once((await got).resume(), 'data')) as [Buffer]
    assert.equal(rest.toString(), 'rest')
  }
})
