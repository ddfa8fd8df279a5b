import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { duplexPair } from 'node:stream'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { OPEN_FLAG, PACKET, packet, STATUS, text, u32, u64 } from '../../../src/traffic-agent/sftp-packet.ts'
import { serveFiles } from '../../../src/traffic-agent/sftp-server.ts'
import { field, openFiles } from './sftp-client.ts'
import { temporaryDirectory } from './temporary-directory.ts'

test('serveFiles() answers INIT with version 3 and the extensions of sshfs', async () => {
  const [near, far] = duplexPair()
  const served = serveFiles(far, { mounts: [], readOnly: true })
  near.end(packet(PACKET.INIT, u32(3)))
  const chunks: Buffer[] = []
  for await (const chunk of near as AsyncIterable<Buffer>) chunks.push(chunk)
  await served
  const answer = Buffer.concat(chunks)
  assert.deepEqual([answer[4], answer.readUInt32BE(5)], [PACKET.VERSION, 3])
  for (const name of ['posix-rename', 'statvfs', 'fsync']) assert.ok(answer.includes(`${name}@openssh.com`))
})

test('serveFiles() carries out packets in order: LSTAT right after OPEN(CREAT) sees the file', async () => {
  using dir = temporaryDirectory()
  await using files = openFiles([{ path: '/data', readOnly: false, root: dir.inside }], false)
  for (let n = 0; n < 50; n++) {
    const opened = files.open(`/data/${n}`, OPEN_FLAG.WRITE | OPEN_FLAG.CREAT)
    const stats = files.stat(`/data/${n}`, PACKET.LSTAT)
    const removed = files.run(PACKET.REMOVE, text(`/data/${n}`))
    const gone = assert.rejects(files.stat(`/data/${n}`), { status: STATUS.NO_SUCH_FILE })
    await Promise.all([opened, stats, removed, gone])
  }
})

test('serveFiles() waits with CLOSE and WRITE for the READs before them', async () => {
  using dir = temporaryDirectory({ file: 'x'.repeat(1 << 20) })
  await using files = openFiles([{ path: '/data', readOnly: false, root: dir.inside }], false)
  const handle = await files.open('/data/file', OPEN_FLAG.READ | OPEN_FLAG.WRITE)
  const reads = Array.from({ length: 64 }, (_, n) => files.read(handle, (n % 16) * 65_536))
  const written = files.write(handle, 'y'.repeat(10))
  const after = files.read(handle, 0, 10)
  const closed = files.close(handle)
  assert.ok((await Promise.all(reads)).every((bytes) => bytes.length === 65_536 && bytes.every((byte) => byte === 0x78)))
  await Promise.all([written, closed])
  assert.equal((await after).toString(), 'y'.repeat(10))
  // Ids: 1 OPEN, 2 to 65 READ, 66 WRITE, 67 READ, 68 CLOSE.
  assert.deepEqual(new Set(files.order.slice(1, 65)), new Set(Array.from({ length: 64 }, (_, n) => n + 2)))
  assert.deepEqual(files.order.slice(65), [66, 67, 68])
})

test('serveFiles() stops reading requests while its answers are not taken', async () => {
  using dir = temporaryDirectory({ file: Buffer.alloc(1 << 20).toString('latin1') })
  const [near, far] = duplexPair()
  const served = serveFiles(far, { mounts: [{ path: '/data', readOnly: true, root: dir.inside }], readOnly: true })
  near.write(packet(PACKET.OPEN, u32(1), text('/data/file'), u32(1), u32(0)))
  const handle = Buffer.from([0, 0, 0, 1])
  let sent = 0
  for (; sent < 20_000 && near.write(packet(PACKET.READ, u32(sent), field(handle), u64(0), u32(65_536))); sent++)
    if (sent % 100 === 99) await new Promise((resolve) => setImmediate(resolve))
  for (let n = 0; n < 20; n++) await new Promise((resolve) => setTimeout(resolve, 5))
  assert.ok(far.writableLength < 4 << 20, `${far.writableLength} bytes wait`)
  assert.ok(sent < 20_000, 'the client was slowed down')
  near.destroy()
  far.destroy()
  await served
})

test('serveFiles() ends a stream with a packet that is too long or empty', async () => {
  for (const length of [0, (256 << 10) + 1, 0xffffffff]) {
    const [near, far] = duplexPair()
    near.on('error', () => {})
    near.write(u32(length))
    await serveFiles(far, { mounts: [], readOnly: true })
    assert.ok(far.destroyed)
    near.destroy()
  }
})

test('serveFiles() leaves no descriptor open after a session that ended in the middle', async () => {
  using dir = temporaryDirectory({ file: 'x', 'directory/x': 'x' })
  const before = fs.readdirSync('/proc/self/fd').length
  for (let n = 0; n < 20; n++) {
    await using files = openFiles([{ path: '/data', readOnly: true, root: dir.inside }])
    await files.open('/data/file')
    await files.ask(PACKET.OPENDIR, text('/data/directory'))
    void files.read(await files.open('/data/file')).catch(() => {})
  }
  for (let n = 0; n < 10; n++) await new Promise((resolve) => setTimeout(resolve, 5))
  assert.ok(fs.readdirSync('/proc/self/fd').length <= before + 1)
})

// Paths that a hostile client may send; every file outside holds the word SECRET.
const hostilePath = fc.oneof(
  fc.constantFrom(
    '/data/file',
    '/data/out',
    '/data/out/secret',
    '/data/up/outside/secret',
    '/data/pipe',
    '/data',
    '/',
    '',
    '..',
    '/proc/self/environ',
  ),
  fc
    .array(
      fc.constantFrom('..', '.', '', 'data', 'file', 'out', 'up', 'directory', 'outside', 'secret', 'etc', 'proc', 'self', 'fd', '3'),
      { maxLength: 8 },
    )
    .map((parts) => `/${parts.join('/')}`),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
)
const handle = fc.oneof(
  fc.integer({ min: 0, max: 4 }).map((n) => u32(n)),
  fc.uint8Array({ maxLength: 6 }).map((bytes) => Buffer.from(bytes)),
)
const attributesField = fc.oneof(
  fc.constant(u32(0)),
  fc.tuple(fc.nat(), fc.uint8Array({ maxLength: 30 })).map(([flags, rest]) => Buffer.concat([u32(flags & 0xf), Buffer.from(rest)])),
)
const request = fc.oneof(
  fc.tuple(fc.constantFrom(7, 11, 13, 15, 16, 17, 19), hostilePath).map(([type, path]) => packet(type, u32(1), text(path))),
  fc
    .tuple(hostilePath, fc.nat({ max: 63 }), attributesField)
    .map(([path, flags, rest]) => packet(PACKET.OPEN, u32(1), text(path), u32(flags), rest)),
  fc.tuple(fc.constantFrom(9, 14), hostilePath, attributesField).map(([type, path, rest]) => packet(type, u32(1), text(path), rest)),
  fc.tuple(fc.constantFrom(18, 20), hostilePath, hostilePath).map(([type, one, two]) => packet(type, u32(1), text(one), text(two))),
  fc
    .tuple(hostilePath, hostilePath)
    .map(([one, two]) => packet(PACKET.EXTENDED, u32(1), text('posix-rename@openssh.com'), text(one), text(two))),
  fc.tuple(fc.constantFrom(4, 8, 12), handle).map(([type, bytes]) => packet(type, u32(1), field(bytes))),
  fc
    .tuple(handle, fc.nat({ max: 100 }), fc.nat())
    .map(([bytes, offset, length]) => packet(PACKET.READ, u32(1), field(bytes), u64(offset), u32(length))),
  fc
    .tuple(handle, fc.nat({ max: 100 }), fc.string())
    .map(([bytes, offset, data]) => packet(PACKET.WRITE, u32(1), field(bytes), u64(offset), text(data))),
)
const mutated = fc
  .tuple(request, fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 3 }), fc.option(fc.nat(), { freq: 10 }))
  .map(([bytes, flips, cut]) => {
    const copy = Buffer.from(bytes)
    for (const [at, value] of flips) copy[at % copy.length] = value
    return cut === null ? copy : copy.subarray(0, cut % copy.length)
  })
const traffic = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: request },
    { weight: 2, arbitrary: mutated },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes)) },
  ),
  { maxLength: 30 },
)

test('serveFiles() survives any bytes, never touches what lies outside, and always ends', async () => {
  const top = '/tmp'
  assert.ok(fs.existsSync(top))
  await fc.assert(
    fc.asyncProperty(traffic, fc.array(fc.integer({ min: 1, max: 70 }), { maxLength: 5 }), async (requests, cuts) => {
      using dir = temporaryDirectory({
        file: 'inside',
        'directory/file': 'inside',
        out: { link: '../outside' },
        up: { link: '..' },
        self: { link: '/proc/self' },
      })
      const before = [
        fs.readdirSync(join(dir.inside, '..')),
        fs.statSync(join(dir.outside, 'secret'), { bigint: true }).ctimeNs,
        fs.statSync(dir.outside, { bigint: true }).ctimeNs,
      ]
      const [near, far] = duplexPair()
      near.on('error', () => {})
      const served = serveFiles(far, { mounts: [{ path: '/data', readOnly: false, root: dir.inside }], readOnly: false })
      const chunks: Buffer[] = []
      near.on('data', (chunk: Buffer) => chunks.push(chunk))
      let bytes = Buffer.concat([packet(PACKET.INIT, u32(3)), ...requests])
      for (const cut of cuts) {
        if (near.writable) near.write(bytes.subarray(0, cut))
        bytes = bytes.subarray(cut)
      }
      near.end(bytes)
      await served
      near.destroy()
      const after = [
        fs.readdirSync(join(dir.inside, '..')),
        fs.statSync(join(dir.outside, 'secret'), { bigint: true }).ctimeNs,
        fs.statSync(dir.outside, { bigint: true }).ctimeNs,
      ]
      assert.deepEqual(after, before)
      assert.ok(!Buffer.concat(chunks).includes('SECRET'))
    }),
    { numRuns: 400 },
  )
})
