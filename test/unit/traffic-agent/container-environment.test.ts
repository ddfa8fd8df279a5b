import assert from 'node:assert/strict'
import { test } from 'node:test'
import { containerEnvironment } from '../../../src/traffic-agent/container-environment.ts'

const container = {
  environmentPrefix: 'TPXA_0_',
  mounts: [
    { path: '/etc/web', readOnly: true, root: '/x' },
    { path: '/data', readOnly: false, root: '/y' },
  ],
  name: 'app',
  ports: [],
}

test('containerEnvironment() takes what is behind the prefix, without what belongs to a machine', () => {
  const environment = {
    HOME: '/', HOSTNAME: 'pod', NODE_VERSION: '24', PATH: '/bin', TPX_AGENT_CONFIG: '{}',
    TPXA_0_GREETING: 'hello\nworld', TPXA_0_EMPTY: '', TPXA_0_HOME: '/root', TPXA_0_HOSTNAME: 'x', TPXA_0_PATH: '/x', TPXA_0_: 'x', TPXA_1_OTHER: 'x',
  } // prettier-ignore
  assert.deepEqual(containerEnvironment(container, environment, []), {
    EMPTY: '',
    GREETING: 'hello\nworld',
    TELEPRESENCE_CONTAINER: 'app',
    TELEPRESENCE_MOUNTS: '/etc/web:/data',
  })
})

test('containerEnvironment() adds the variables that name Services, and the app’s own win', () => {
  const links = {
    STORE_PORT: 'tcp://10.96.0.7:80',
    STORE_PORT_80_TCP: 'tcp://10.96.0.7:80',
    STORE_PORT_80_TCP_ADDR: '10.96.0.7',
    STORE_SERVICE_HOST: '10.96.0.7',
    STORE_SERVICE_PORT: '80',
    STORE_SERVICE_PORT_HTTP: '80',
  }
  const environment = {
    ...links,
    STORE_PORTAL: 'x',
    OTHER_PORT: '1',
    TPXA_0_STORE_SERVICE_HOST: 'mine',
    TPXA_1_X_SERVICE_HOST: 'of another container',
  }
  const {
    TELEPRESENCE_CONTAINER: _,
    TELEPRESENCE_MOUNTS: __,
    ...rest
  } = containerEnvironment(container, environment, [container, { ...container, environmentPrefix: 'TPXA_1_' }])
  assert.deepEqual(rest, { ...links, STORE_SERVICE_HOST: 'mine' })
})

test('containerEnvironment() takes nothing of the agent’s own when there is no prefix', () => {
  assert.deepEqual(Object.keys(containerEnvironment({ ...container, environmentPrefix: '' }, { SECRET: 'x' }, [])), [
    'TELEPRESENCE_CONTAINER',
    'TELEPRESENCE_MOUNTS',
  ])
})
