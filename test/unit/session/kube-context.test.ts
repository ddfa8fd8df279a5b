import assert from 'node:assert/strict'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { test } from 'node:test'
import { connectionName } from '../../../src/session/connection-name.ts'
import { connectionSettings } from '../../../src/session/connection-settings.ts'
import { kubeconfigPaths, readKubeContext } from '../../../src/session/kube-context.ts'

const directory = mkdtempSync(join(tmpdir(), 'tpx-kube-'))
const file = (name: string, text: string): string => {
  const path = join(directory, name)
  writeFileSync(path, text)
  return path
}
const one = file(
  'one',
  'current-context: a\ncontexts:\n- {name: a, context: {cluster: c, namespace: shop}}\n- {name: b, context: {cluster: c}}\n',
)
const two = file('two', 'current-context: z\ncontexts:\n- {name: z, context: {cluster: c}}\n')
const read = (kubeconfig: string, more: { context?: string; namespace?: string } = {}) =>
  readKubeContext({ context: more.context, kubeconfig, namespace: more.namespace })

test('readKubeContext() gives current context and its namespace', () => {
  assert.deepEqual(read(one), { context: 'a', namespace: 'shop' })
  assert.deepEqual(read(one, { context: 'b' }), { context: 'b', namespace: 'default' })
  assert.deepEqual(read(one, { namespace: 'mine' }), { context: 'a', namespace: 'mine' })
})

test('readKubeContext() merges several files: the first that says something wins, one that is not there is skipped', () => {
  assert.deepEqual(read([join(directory, 'none'), one, two].join(delimiter)), { context: 'a', namespace: 'shop' })
  assert.deepEqual(read([one, two].join(delimiter), { context: 'z' }), { context: 'z', namespace: 'default' })
})

test('readKubeContext() throws for a context, file or text that is not there', () => {
  assert.throws(() => read(one, { context: 'shop' }), { code: 'CONTEXT_NOT_FOUND', hint: 'Contexts: a, b' })
  assert.throws(() => read(join(directory, 'none')), { code: 'KUBECONFIG_INVALID' })
  assert.throws(() => read(file('bad', '{{')), { code: 'KUBECONFIG_INVALID' })
  assert.throws(() => read(file('empty', '')), { code: 'KUBECONFIG_INVALID' })
})

test('connectionName() makes a name that fits into container names and socket paths', () => {
  assert.equal(connectionName(undefined, { context: 'kind-Dev', namespace: 'shop' }), 'kind-dev-shop')
  assert.equal(
    connectionName(undefined, { context: 'arn:aws:eks:eu-1:123456789012:cluster/a-very-long-name', namespace: 'shop' }).length,
    40,
  )
  assert.equal(connectionName('mine', { context: 'x', namespace: 'y' }), 'mine')
  assert.throws(() => connectionName('-x', { context: 'x', namespace: 'y' }), { code: 'USAGE' })
})

test('kubeconfigPaths() spells the default file out, and makes relative paths absolute', () => {
  const { HOME, KUBECONFIG } = process.env
  try {
    process.env['HOME'] = '/somewhere'
    delete process.env['KUBECONFIG']
    assert.equal(kubeconfigPaths(undefined), '/somewhere/.kube/config')
    process.env['KUBECONFIG'] = `/a${delimiter}/b`
    assert.equal(kubeconfigPaths(undefined), `/a${delimiter}/b`)
    assert.equal(kubeconfigPaths('c'), join(process.cwd(), 'c'))
  } finally {
    Object.assign(process.env, { HOME })
    if (KUBECONFIG === undefined) delete process.env['KUBECONFIG']
    else process.env['KUBECONFIG'] = KUBECONFIG
  }
})

test('connectionSettings() holds whom to act as, and nothing where nobody is impersonated', () => {
  const flags = { 'as-group': ['dev'], as: 'jane', kubeconfig: one }
  assert.deepEqual(connectionSettings(flags, {}).impersonate, { as: 'jane', asGroups: ['dev'] })
  assert.deepEqual(connectionSettings({ kubeconfig: one }, { logLevels: { link: 'debug' } }), {
    context: 'a',
    impersonate: {},
    kubeconfig: one,
    linkLogLevel: 'debug',
    managerNamespace: 'ambassador',
    name: 'a-shop',
    namespace: 'shop',
  })
})
