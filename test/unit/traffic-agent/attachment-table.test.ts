import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import type http2 from 'node:http2'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { type Attachment, AttachmentTable } from '../../../src/traffic-agent/attachment-table.ts'

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

class FakeSession extends EventEmitter {
  closed = false
  destroyed = false
  destroy(): void {
    this.destroyed = true
    this.emit('close')
  }
}
const fakeSession = (): FakeSession & http2.ClientHttp2Session => new FakeSession() as unknown as FakeSession & http2.ClientHttp2Session
const none = new Set<string>()

test('AttachmentTable.route() answers the newest open session of the container’s port only', () => {
  const table = new AttachmentTable()
  table.update([attachment('one'), attachment('two', { containerPort: 81 }), attachment('three', { container: 'side' })], none, true)
  assert.equal(table.route('app', 80), undefined)
  const [old, newer] = [fakeSession(), fakeSession()]
  table.addSession('one', old)
  table.addSession('one', newer)
  assert.equal(table.route('app', 80)?.session, newer)
  assert.equal(table.route('app', 81), undefined)
  assert.equal(table.route('side', 80), undefined)
  newer.closed = true
  assert.equal(table.route('app', 80)?.session, old)
})

test('AttachmentTable.update() ends the streams of what the manager no longer lists', () => {
  const table = new AttachmentTable()
  table.update([attachment('one')], none, true)
  const [session, files] = [fakeSession(), new PassThrough()]
  table.addSession('one', session)
  table.addStream('one', files)
  table.update([], none, true)
  assert.deepEqual([session.destroyed, files.destroyed, table.find('one')], [true, true, undefined])
})

test('AttachmentTable.update() keeps for a minute what a new manager does not know yet', () => {
  let now = 0
  const table = new AttachmentTable(() => now)
  table.update([attachment('one'), attachment('two')], none, true)
  const session = fakeSession()
  table.addSession('one', session)
  table.update([], new Set(['two']), false)
  assert.equal(table.find('two'), undefined)
  now = 59_000
  table.sweep()
  assert.equal(table.route('app', 80)?.session, session)
  now = 60_000
  table.sweep()
  assert.equal(session.destroyed, true)
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

test('AttachmentTable.route() prefers what the present manager knows, whichever session is newer', () => {
  const table = new AttachmentTable(() => 0)
  table.update([attachment('old')], none, true)
  table.update([attachment('new')], none, false)
  const [old, confirmed] = [fakeSession(), fakeSession()]
  table.addSession('old', old)
  assert.equal(table.route('app', 80)?.session, old)
  table.addSession('new', confirmed)
  assert.equal(table.route('app', 80)?.session, confirmed)
})

test('AttachmentTable.addSession() destroys a session whose attachment is gone', () => {
  const session = fakeSession()
  new AttachmentTable().addSession('one', session)
  assert.equal(session.destroyed, true)
})
