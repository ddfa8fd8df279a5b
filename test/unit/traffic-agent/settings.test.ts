import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseSettings } from '../../../src/traffic-agent/settings.ts'
import { agentEnvironment } from './fake-manager.ts'

test('parseSettings() reads the configuration and the downward API', () => {
  const settings = parseSettings(agentEnvironment())
  assert.deepEqual([settings.podIp, settings.podName, settings.podUid], ['127.0.0.1', 'web-1', 'uid-1'])
  assert.equal(settings.config.workload, 'web')
  assert.equal(settings.config.containers[0]?.ports[0]?.containerPort, 8080)
})

test('parseSettings() names a missing variable', () => {
  for (const name of ['TPX_AGENT_CONFIG', 'TPX_POD_IP', 'TPX_POD_NAME', 'TPX_POD_UID'])
    assert.throws(() => parseSettings({ ...agentEnvironment(), [name]: undefined }), { code: 'USAGE', message: new RegExp(name) })
})

test('parseSettings() names the place of a fault and never the value', () => {
  const broken = { ...agentEnvironment({ apiPort: 70_000 }) }
  assert.throws(() => parseSettings(broken), { message: 'Environment variable "TPX_AGENT_CONFIG" is not valid at "apiPort"' })
  assert.throws(
    () => parseSettings({ ...broken, TPX_AGENT_CONFIG: 'secret' }),
    (error: Error) => !error.message.includes('secret'),
  )
})
