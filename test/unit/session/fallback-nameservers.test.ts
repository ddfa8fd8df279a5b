import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fallbackNameservers } from '../../../src/session/fallback-nameservers.ts'

test("fallbackNameservers() leaves out what listens on the host's loopback, and asks systemd-resolved's list for its upstreams", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'tpx-test-'))
  t.after(() => rmSync(directory, { recursive: true }))
  writeFileSync(join(directory, 'upstreams'), 'nameserver 10.1.0.53\nnameserver 127.0.0.1\n')
  const [list, none] = [join(directory, 'upstreams'), join(directory, 'none')]
  assert.deepEqual(await fallbackNameservers('127.0.0.1:53, 10.0.0.53:5353,[fd00::1]:53', list), ['10.0.0.53:5353', '[fd00::1]:53'])
  assert.deepEqual(await fallbackNameservers('127.0.0.53', list), ['10.1.0.53'])
  assert.deepEqual(await fallbackNameservers('127.0.0.53,::1,[::1]:53', none), [])
})
