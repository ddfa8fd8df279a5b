import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { silentLogger } from '../../../src/base/logger.ts'
import { InterceptDispositionType as Disposition } from '../../../src/wire/generated/manager_pb.ts'
import { AttachmentTable } from '../../../src/traffic-agent/attachment-table.ts'
import { ManagerClient } from '../../../src/traffic-agent/manager-client.ts'
import { parseSettings } from '../../../src/traffic-agent/settings.ts'
import { agentEnvironment, FakeManager, makeCertificates, writeToken } from './fake-manager.ts'
import { until } from './sockets.ts'
import { temporaryDirectory } from './temporary-directory.ts'

const certificates = await makeCertificates()

async function start(options: { remainEveryMs?: number } = {}) {
  const dir = temporaryDirectory()
  const tokenPath = join(dir.inside, 'token')
  writeToken(tokenPath, 'token-1')
  let manager = new FakeManager()
  const port = await manager.listen(certificates)
  const table = new AttachmentTable()
  const settings = { ...parseSettings(agentEnvironment({ managerCa: certificates.ca, managerPort: port })), tokenPath }
  const client = new ManagerClient({ backoff: { firstMs: 10, mostMs: 50 }, logger: silentLogger(), settings, table, ...options })
  const end = new AbortController()
  const running = client.run(end.signal)
  const world = {
    client,
    end,
    get manager() {
      return manager
    },
    /** A new manager at the same address, with nothing in its memory. */
    restart: async () => {
      manager = new FakeManager()
      await manager.listen(certificates, port)
    },
    table,
    tokenPath,
    [Symbol.asyncDispose]: async () => {
      end.abort()
      await running
      client.close()
      manager.kill()
      dir[Symbol.dispose]()
    },
  }
  await until(() => manager.arrived.length > 0)
  return world
}

test('ManagerClient arrives with its token, remains, and departs', async () => {
  await using world = await start({ remainEveryMs: 10 })
  await until(() => world.manager.remained > 1)
  const [info] = world.manager.arrived
  assert.deepEqual([info?.name, info?.namespace, info?.podName, info?.podUid, info?.apiPort], ['web', 'default', 'web-1', 'uid-1', 9900])
  assert.deepEqual(info?.containers['app']?.environment, {})
  assert.deepEqual(info?.containers['app']?.mounts, { '/etc/web': 1, '/data': 0 })
  assert.deepEqual([...world.manager.tokens], ['Bearer token-1'])
  world.end.abort()
  await world.client.depart()
  assert.deepEqual(world.manager.departed, ['agent-1'])
})

test('ManagerClient reads the token again, as the kubelet replaces it', async () => {
  await using world = await start({ remainEveryMs: 10 })
  writeToken(world.tokenPath, 'token-2')
  await until(() => world.manager.tokens.has('Bearer token-2'))
})

test('ManagerClient gives its verdict once on each intercept and puts the accepted ones in force', async () => {
  await using world = await start()
  world.manager.add('alias:one', 'key-one')
  world.manager.add('alias:two', 'key-two', { containerPort: 1 })
  world.manager.add('alias:three', 'key-three', { agent: 'other' })
  await until(() => world.manager.reviews.length === 2)
  await new Promise((resolve) => setTimeout(resolve, 30))
  assert.deepEqual(Object.fromEntries(world.manager.reviews.map(({ disposition, id }) => [id, disposition])), {
    'alias:one': Disposition.ACTIVE,
    'alias:two': Disposition.AGENT_ERROR,
  })
  assert.equal(world.manager.reviews.find(({ id }) => id === 'alias:one')?.environment['GREETING'], 'hello')
  assert.equal(world.table.find('key-one')?.targetPort, 9090)
  assert.equal(world.table.find('key-two'), undefined)
  assert.equal(world.table.find('key-three'), undefined)
})

test('ManagerClient takes an attachment out of force when the manager removes it', async () => {
  await using world = await start()
  world.manager.add('alias:one', 'key-one')
  await until(() => world.table.find('key-one') !== undefined)
  world.manager.intercepts = []
  world.manager.publish()
  await until(() => world.table.find('key-one') === undefined)
})

test('ManagerClient arrives again at a new manager, and what the old one told stays in force', async () => {
  await using world = await start({ remainEveryMs: 20 })
  world.manager.add('alias:one', 'key-one')
  await until(() => world.manager.reviews.length === 1)
  world.manager.kill()
  await new Promise((resolve) => setTimeout(resolve, 50))
  assert.ok(world.table.find('key-one'))
  await world.restart()
  await until(() => world.manager.remained > 1)
  assert.ok(world.table.find('key-one'))
  world.manager.add('alias:one', 'key-new')
  await until(() => world.manager.reviews.length === 1)
  assert.ok(world.table.find('key-new'))
})

test('ManagerClient arrives again when the manager forgot it', async () => {
  await using world = await start({ remainEveryMs: 10 })
  world.manager.sessions.clear()
  await until(() => world.manager.arrived.length === 2)
})

test('ManagerClient does not talk to a manager whose certificate another CA signed', async () => {
  const other = await makeCertificates()
  const manager = new FakeManager()
  const port = await manager.listen(other)
  using dir = temporaryDirectory()
  const tokenPath = join(dir.inside, 'token')
  writeToken(tokenPath, 'token-1')
  const settings = { ...parseSettings(agentEnvironment({ managerCa: certificates.ca, managerPort: port })), tokenPath }
  const client = new ManagerClient({ backoff: { firstMs: 5, mostMs: 10 }, logger: silentLogger(), settings, table: new AttachmentTable() })
  const end = new AbortController()
  const running = client.run(end.signal)
  for (let n = 0; n < 4; n++) await new Promise((resolve) => setTimeout(resolve, 40))
  assert.deepEqual([manager.arrived.length, manager.tokens.size], [0, 0])
  end.abort()
  await running
  client.close()
  manager.kill()
})
