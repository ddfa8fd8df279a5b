import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { duplexPair } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { TpxError } from '../../../src/base/error.ts'
import { carrierOver, openCarrier } from '../../../src/tunnel/carrier.ts'
import { readSettings } from '../../../src/tunnel/settings.ts'
import { SpareStreams } from '../../../src/tunnel/spare-streams.ts'
import { formatAnswer } from '../../../src/wire/carrier.ts'
import { readLine } from '../../../src/wire/preface.ts'
import { eventually } from './tunnel-fixture.ts'

function makeDirectory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'tpx-carrier-'))
  t.after(() => rmSync(path, { force: true, recursive: true }))
  return path
}

test('open() names its target, waits for the answer and hands over the bytes behind it', async () => {
  const [near, far] = duplexPair()
  const carrier = carrierOver({ close: () => {}, take: async () => near })
  const opening = carrier.open({ kind: 'pod', name: 'web-app-1', namespace: 'shop', port: 9900 })
  assert.equal(await readLine(far), 'web-app-1.shop.pod:9900')
  far.write(`${formatAnswer({ ok: true })}first bytes`)
  const stream = await opening
  assert.equal(String((await once(stream.resume(), 'data'))[0]), 'first bytes')
})

test("open() throws the link's own error", async () => {
  const [near, far] = duplexPair()
  const carrier = carrierOver({ close: () => {}, take: async () => near })
  const opening = carrier.open({ kind: 'dns' })
  far.write(formatAnswer({ error: new TpxError('KUBERNETES_FORBIDDEN', 'No', { hint: 'Ask' }).toRecord() }))
  await assert.rejects(opening, { code: 'KUBERNETES_FORBIDDEN', hint: 'Ask', message: 'No' })
  assert.ok(near.destroyed)
})

test('open() fails with CARRIER_FAILED on a broken answer, an early end, and when it is given up', async () => {
  for (const breakIt of ['garbage\n', null]) {
    const [near, far] = duplexPair()
    const opening = carrierOver({ close: () => {}, take: async () => near }).open({ kind: 'dns' })
    far.end(breakIt ?? undefined)
    await assert.rejects(opening, { code: 'CARRIER_FAILED' })
  }
  const [near] = duplexPair()
  const gone = new AbortController()
  const opening = carrierOver({ close: () => {}, take: async () => near }).open({ kind: 'dns' }, { signal: gone.signal })
  setImmediate(() => gone.abort())
  await assert.rejects(opening, { code: 'CARRIER_FAILED' })
})

test('openCarrier() says that there is no link, and finds it once it listens', async (t) => {
  const directory = makeDirectory(t)
  const carrier = await openCarrier('unix', directory)
  await assert.rejects(carrier.open({ kind: 'control' }, { waitMs: 0 }), {
    code: 'CARRIER_FAILED',
    message: 'The link process on the host is not there',
  })
  const waiting = carrier.open({ kind: 'control' })
  const link = net.createServer((socket) => void readLine(socket).then(() => socket.write(formatAnswer({ ok: true }))))
  link.listen(join(directory, 'link.sock'))
  await once(link, 'listening')
  t.after(() => link.close())
  for (const stream of await Promise.all([waiting, carrier.open({ kind: 'control' })])) stream.destroy()
})

test('SpareStreams gives out live streams only, lets callers wait, and gives up in time', async (t) => {
  const path = join(makeDirectory(t), 'spare.sock')
  const spares = await SpareStreams.listen(path, 40)
  t.after(() => spares.close())
  await assert.rejects(spares.take(), /No stream from the link/)
  const dead = net.connect(path)
  await once(dead, 'connect')
  dead.end()
  await eventually('dead spare dropped', () => dead.closed || dead.readableEnded || dead.destroyed)
  const waiting = spares.take()
  const live = net.connect(path)
  live.write('here')
  assert.equal(String((await once(await waiting, 'data'))[0]), 'here')
  live.destroy()
})

test('readSettings() fills in defaults and names what is missing or wrong', () => {
  const env = { TPX_CLIENT_NAME: 'a@b', TPX_CONNECTION: 'c', TPX_INSTALL_ID: 'i', TPX_MANAGER_NAMESPACE: 'm', TPX_NAMESPACE: 'n' }
  assert.deepEqual(
    [
      readSettings(env).carrier,
      readSettings(env).clusterDomain,
      readSettings({ ...env, TPX_CLUSTER_DOMAIN: '.Corp.Local.' }).clusterDomain,
    ],
    ['unix', 'cluster.local', 'corp.local'],
  )
  assert.throws(() => readSettings({ ...env, TPX_NAMESPACE: '' }), { code: 'USAGE', message: /TPX_NAMESPACE/ })
  assert.throws(() => readSettings({ ...env, TPX_CARRIER: 'pigeon' }), { code: 'USAGE', message: /pigeon/ })
})
