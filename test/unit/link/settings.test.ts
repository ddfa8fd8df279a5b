import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readSettings } from '../../../src/link/settings.ts'

test('readSettings() fills in what may be left out', () => {
  const settings = readSettings(['--connection', 'dev', '--runtime-dir', '/run/x'])
  assert.deepEqual(settings, {
    as: undefined,
    carrier: 'auto',
    connection: 'dev',
    context: undefined,
    holderContainer: 'tpx-dev',
    kubeconfig: undefined,
    logLevel: 'info',
    managerNamespace: 'ambassador',
    namespace: undefined,
    runtimeDir: '/run/x',
    tunnelContainer: 'tpx-dev-tunnel',
  })
})

for (const argv of [
  [],
  ['--connection', 'x'],
  ['--runtime-dir', '/x'],
  ['--connection', 'x', '--runtime-dir', '/x', '--carrier', 'tcp'],
  ['--what'],
])
  test(`readSettings() throws USAGE for "${argv.join(' ')}"`, () => {
    assert.throws(() => readSettings(argv), { code: 'USAGE' })
  })
