import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { adoptEnvironment } from '../../../src/link/environment.ts'
import { isSameChoice, readLinkEnvironment, writeLinkEnvironment } from '../../../src/wire/link-environment.ts'

const directory = mkdtempSync(join(tmpdir(), 'tpx-environment-'))
after(() => rmSync(directory, { recursive: true }))

test('adoptEnvironment() replaces all but what makes the connection', () => {
  const env = { AWS_PROFILE: 'old', DOCKER_HOST: 'unix:///a', KUBECONFIG: '/one', STALE: '1' }
  adoptEnvironment({ AWS_PROFILE: 'new', DOCKER_HOST: 'unix:///b', KUBECONFIG: '/two', PATH: '/bin' }, env)
  assert.deepEqual(env, { AWS_PROFILE: 'new', DOCKER_HOST: 'unix:///a', KUBECONFIG: '/one', PATH: '/bin' })
})

test('writeLinkEnvironment() keeps it for the user alone', () => {
  assert.equal(readLinkEnvironment(directory), undefined)
  writeLinkEnvironment(directory, { A: '1' })
  writeLinkEnvironment(directory, { A: '2' })
  assert.deepEqual(readLinkEnvironment(directory), { A: '2' })
  assert.equal(statSync(join(directory, 'environment.json')).mode & 0o777, 0o600)
})

test('isSameChoice() compares place and user', () => {
  const choice = { context: 'dev', kubeconfig: '/config', managerNamespace: 'ambassador', namespace: 'default' }
  assert.ok(isSameChoice(choice, { ...choice, as: undefined, asGroups: [] }))
  for (const other of [{ as: 'jane' }, { asGroups: ['dev'] }, { asUid: '1' }, { context: 'x' }, { kubeconfig: '/x' }, { namespace: 'x' }])
    assert.ok(!isSameChoice(choice, { ...choice, ...other }), JSON.stringify(other))
})
