import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { makePrivateDir } from '../../../src/link/private-dir.ts'

const root = mkdtempSync(join(tmpdir(), 'tpx-private-'))
after(() => rmSync(root, { recursive: true }))

test('makePrivateDir() makes the whole path and lets nobody else in', () => {
  const dir = join(root, 'tpx', 'dev')
  makePrivateDir(dir)
  makePrivateDir(dir)
  assert.equal(statSync(dir).mode & 0o777, 0o700)
})

test('makePrivateDir() refuses a place where others may rename what is ours', () => {
  const open = join(root, 'open')
  mkdirSync(open)
  chmodSync(open, 0o777)
  assert.throws(() => makePrivateDir(join(open, 'dev')), { code: 'LINK_FAILED', message: /others may write/ })
  const linked = join(root, 'linked')
  symlinkSync(open, linked)
  assert.throws(() => makePrivateDir(join(linked, 'dev')), { code: 'LINK_FAILED' })
})

test('makePrivateDir() says LINK_FAILED where a file is in the way', () => {
  writeFileSync(join(root, 'file'), '')
  assert.throws(() => makePrivateDir(join(root, 'file', 'dev')), { code: 'LINK_FAILED', hint: /XDG_RUNTIME_DIR/ })
})
