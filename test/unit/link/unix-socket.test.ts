import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { bindUnixSocket } from '../../../src/link/unix-socket.ts'

const dir = mkdtempSync(join(tmpdir(), 'tpx-sock-'))
after(() => rmSync(dir, { recursive: true }))

test('bindUnixSocket() gives the file its mode and removes it at the end', async () => {
  const path = join(dir, 'a.sock')
  const bound = await bindUnixSocket(path, 0o600, () => {})
  assert.equal(statSync(path).mode & 0o777, 0o600)
  assert.equal(bound.isOurs(), true)
  bound.close()
  assert.equal(existsSync(path), false)
})

test('bindUnixSocket() throws "already running" where a live process listens', async () => {
  const path = join(dir, 'b.sock')
  const bound = await bindUnixSocket(path, 0o600, (socket) => socket.destroy())
  await assert.rejects(
    bindUnixSocket(path, 0o600, () => {}),
    { code: 'LINK_FAILED', message: /already running/ },
  )
  bound.close()
})

test('bindUnixSocket() replaces the file of a dead process', async () => {
  const path = join(dir, 'c.sock')
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
  spawnSync(process.execPath, ['-e', script])
  assert.equal(existsSync(path), true)
  const bound = await bindUnixSocket(path, 0o666, () => {})
  assert.equal(bound.isOurs(), true)
  bound.close()
})

test('bindUnixSocket() says what to do about a path that is too long', async () => {
  await assert.rejects(
    bindUnixSocket(join(dir, 'x'.repeat(120)), 0o600, () => {}),
    { code: 'LINK_FAILED', hint: /XDG_RUNTIME_DIR/ },
  )
})
