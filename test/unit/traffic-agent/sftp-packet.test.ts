import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  attributes,
  dataPacket,
  finishData,
  PACKET,
  packet,
  PacketReader,
  statusPacket,
  text,
  u32,
  u64,
} from '../../../src/traffic-agent/sftp-packet.ts'

const byteText = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString('latin1'))

test('PacketReader reads back every field that was written, and nothing is left', () => {
  fc.assert(
    fc.property(byteText, fc.nat(), fc.maxSafeNat(), (name, small, large) => {
      const bytes = packet(PACKET.OPEN, text(name), u32(small), u64(large))
      assert.equal(bytes.readUInt32BE(0), bytes.length - 4)
      const reader = new PacketReader(bytes.subarray(5))
      assert.deepEqual([reader.text(), reader.u32(), reader.u64()], [name, small, large])
      assert.throws(() => reader.u8(), { code: 'EBADMSG' })
    }),
  )
})

test('PacketReader throws EBADMSG for every truncation', () => {
  const whole = Buffer.concat([text('/etc/web'), u32(1), u64(2)])
  for (let length = 0; length < whole.length; length++) {
    const reader = new PacketReader(whole.subarray(0, length))
    assert.throws(() => [reader.text(), reader.u32(), reader.u64()], { code: 'EBADMSG' })
  }
})

test('PacketReader.attributes() reads what attributes() wrote', () => {
  const stats = { size: 5_000_000_000, uid: 7, gid: 8, mode: 0o100644, atimeMs: 1_700_000_000_999, mtimeMs: 5000, isFile: () => true }
  const read = new PacketReader(attributes(stats as never)).attributes()
  assert.deepEqual(read, { size: 5_000_000_000, uid: 7, gid: 8, mode: 0o100644, atime: 1_700_000_000, mtime: 5 })
})

test('attributes() leaves out set-uid and set-gid of files', () => {
  const stats = { size: 0, uid: 0, gid: 0, mode: 0o106755, atimeMs: 0, mtimeMs: 0, isFile: () => true }
  assert.equal(new PacketReader(attributes(stats as never)).attributes().mode, 0o100755)
})

test('statusPacket() has the bytes of draft-ietf-secsh-filexfer-02 §7', () => {
  // length 23 | STATUS 101 | id 7 | NO_SUCH_FILE 2 | "ENOENT" | language ""
  assert.equal(statusPacket(7, 2, 'ENOENT').toString('hex'), '0000001765000000070000000200000006454e4f454e5400000000')
})

test('finishData() is a whole packet of the bytes that were read', () => {
  const bytes = dataPacket(10)
  bytes.write('abc', 13)
  assert.deepEqual(finishData(bytes, 9, 3), packet(PACKET.DATA, u32(9), text('abc')))
})
