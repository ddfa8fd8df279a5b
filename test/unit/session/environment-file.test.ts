import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { checkEnvironmentFile, writeEnvironmentFile } from '../../../src/session/environment-file.ts'

const directory = mkdtempSync(join(tmpdir(), 'tpx-env-'))
const environment = { A: '1', EMPTY: '', LINES: 'x\ny', QUOTED: '"$A\' #' }

test('writeEnvironmentFile() writes JSON whole, 0600, and leaves no other file', () => {
  const path = join(directory, 'env.json')
  assert.deepEqual(writeEnvironmentFile({ path, syntax: 'json' }, environment), [])
  assert.deepEqual(JSON.parse(readFileSync(path, 'utf8')), environment)
  assert.equal(statSync(path).mode & 0o777, 0o600)
  assert.deepEqual(readdirSync(directory), ['env.json'])
})

test("writeEnvironmentFile() leaves values with line breaks out of docker's syntax and says which", () => {
  const path = join(directory, 'env')
  assert.deepEqual(writeEnvironmentFile({ path, syntax: 'docker' }, environment), ['LINES'])
  assert.equal(readFileSync(path, 'utf8'), 'A=1\nEMPTY=\nQUOTED="$A\' #\n')
})

test('checkEnvironmentFile() throws before anything is touched', () => {
  assert.throws(() => checkEnvironmentFile({ path: directory, syntax: 'json' }), { code: 'USAGE' })
  assert.throws(() => checkEnvironmentFile({ path: join(directory, 'no', 'env'), syntax: 'json' }), { code: 'USAGE' })
})
