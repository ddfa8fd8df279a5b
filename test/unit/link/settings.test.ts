import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readSettings } from '../../../src/link/settings.ts'

test('readSettings() fills in what may be left out', () => {
  const settings = readSettings(['--connection', 'dev', '--runtime-dir', '/run/x'])
  assert.deepEqual(settings, {
    again: false,
    as: undefined,
    asGroups: undefined,
    asUid: undefined,
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

test('readSettings() takes the impersonated user, groups and uid', () => {
  const { as, asGroups, asUid } = readSettings([
    '--connection=x',
    '--runtime-dir=/x',
    '--as=-jane',
    '--as-group=a',
    '--as-group=b',
    '--as-uid=7',
  ])
  assert.deepEqual([as, asGroups, asUid], ['-jane', ['a', 'b'], '7'])
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
