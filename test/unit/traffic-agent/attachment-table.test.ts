import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { type Attachment, AttachmentTable } from '../../../src/traffic-agent/attachment-table.ts'
import { Mux } from '../../../src/wire/mux.ts'
import { Pipe } from '../../../src/wire/pipe.ts'

const attachment = (key: string, more: Partial<Attachment> = {}): Attachment => ({
  container: 'app',
  containerPort: 80,
  id: `alias:${key}`,
  key,
  kind: 'intercept',
  targetHost: '127.0.0.1',
  targetPort: 8080,
  ...more,
})

const aMux = (): Mux => new Mux(new Pipe({ graceMs: 1000, pings: false, silentMs: 1000 }), 'server')

/** A mux whose pipe has a strand. */
function openedMux(): Mux {
  const mux = aMux()
  mux.pipe.attach(new PassThrough(), 0)
  return mux
}

const none = new Set<string>()

test('AttachmentTable.route() answers the newest open mux of the container’s port only', () => {
  const table = new AttachmentTable()
  table.update([attachment('one'), attachment('two', { containerPort: 81 }), attachment('three', { container: 'side' })], none, true)
  assert.equal(table.route('app', 80), undefined)
  const [old, newer] = [openedMux(), openedMux()]
  table.addMux('one', old)
  table.addMux('one', newer)
  assert.equal(table.route('app', 80)?.mux, newer)
  assert.equal(table.route('app', 81), undefined)
  assert.equal(table.route('side', 80), undefined)
  newer.destroy()
  assert.equal(table.route('app', 80)?.mux, old)
})

test('AttachmentTable.update() ends the streams of what the manager no longer lists', () => {
  const table = new AttachmentTable()
  table.update([attachment('one')], none, true)
  const [mux, files] = [openedMux(), new PassThrough()]
  table.addMux('one', mux)
  table.addFiles('one', files)
  table.update([], none, true)
  assert.deepEqual([mux.pipe.isClosed, files.destroyed, table.find('one')], [true, true, undefined])
})

test('AttachmentTable.update() keeps for a minute what a new manager does not know yet', () => {
  let now = 0
  const table = new AttachmentTable(() => now)
  table.update([attachment('one'), attachment('two')], none, true)
  const mux = openedMux()
  table.addMux('one', mux)
  table.update([], new Set(['two']), false)
  assert.equal(table.find('two'), undefined)
  now = 59_000
  table.sweep()
  assert.equal(table.route('app', 80)?.mux, mux)
  now = 60_000
  table.sweep()
  assert.equal(mux.pipe.isClosed, true)
})

test('AttachmentTable.update() keeps for good what a new manager knows in time', () => {
  let now = 0
  const table = new AttachmentTable(() => now)
  table.update([attachment('one')], none, true)
  table.update([], none, false)
  now = 30_000
  table.update([attachment('one', { targetPort: 9090 })], none, false)
  now = 90_000
  table.sweep()
  assert.equal(table.find('one')?.targetPort, 9090)
})

test('AttachmentTable.route() prefers what the present manager knows, whichever mux is newer', () => {
  const table = new AttachmentTable(() => 0)
  table.update([attachment('old')], none, true)
  table.update([attachment('new')], none, false)
  const [old, confirmed] = [openedMux(), openedMux()]
  table.addMux('old', old)
  assert.equal(table.route('app', 80)?.mux, old)
  table.addMux('new', confirmed)
  assert.equal(table.route('app', 80)?.mux, confirmed)
})

test('AttachmentTable.addMux() destroys a mux whose attachment is gone', () => {
  const mux = openedMux()
  new AttachmentTable().addMux('one', mux)
  assert.equal(mux.pipe.isClosed, true)
})
