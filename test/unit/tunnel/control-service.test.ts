import assert from 'node:assert/strict'
import { duplexPair } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { TpxError } from '../../../src/base/error.ts'
import { silentLogger } from '../../../src/base/logger.ts'
import type { Carrier } from '../../../src/tunnel/carrier.ts'
import { ClientSettings } from '../../../src/tunnel/client-settings.ts'
import { ControlService } from '../../../src/tunnel/control-service.ts'
import { Readiness } from '../../../src/tunnel/readiness.ts'
import { Routing } from '../../../src/tunnel/routing.ts'
import { StatusLegs } from '../../../src/tunnel/status-legs.ts'
import { WorkloadList } from '../../../src/tunnel/workload-list.ts'
import type { TunnelSnapshot } from '../../../src/wire/control.ts'
import { ControlClient } from '../../../src/wire/control-channel.ts'
import { eventually, type Fixture, isUp, settings, startFixture } from './tunnel-fixture.ts'

type ControlFixture = Fixture & {
  client: () => ControlClient
  quits: () => number
  readiness: Readiness
  resumed: (TunnelSnapshot | null)[]
}

/** The link's ends of the control streams that the tunnel opens, the newest last. */
async function startControl(t: TestContext): Promise<ControlFixture> {
  const fixture = await startFixture(t)
  const { attachments, clientSettings, data, session: manager } = fixture
  const readiness = new Readiness({ data, manager })
  const workloads = new WorkloadList(manager)
  const nothing = (): void => {}
  const client = new ClientSettings({})
  const routing = new Routing({
    client,
    logger: silentLogger(),
    manager,
    onRenumbered: nothing,
    onSettled: nothing,
    onWorkloads: nothing,
  })
  const dialed: string[] = []
  const legs = new StatusLegs({ attachments, data, manager, readiness })
  const resumed: (TunnelSnapshot | null)[] = []
  let quits = 0
  const service = new ControlService({
    attachments,
    client: clientSettings,
    data,
    dial: async (id) => void dialed.push(id),
    dns: () => ({ address: '198.18.0.1', clusterDomain: 'cluster.local', excludeSuffixes: [], includeSuffixes: [], search: [] }),
    legs,
    logger: silentLogger(),
    manager,
    onQuit: () => void quits++,
    onResume: (snapshot) => void resumed.push(snapshot),
    readiness,
    routing,
    settings,
    traceName: async () => Promise.reject(new Error('not here')),
    workloads,
  })
  const clients: ControlClient[] = []
  const carrier: Carrier = {
    close: () => {},
    open: async () => {
      const [near, far] = duplexPair()
      clients.push(new ControlClient(far))
      return near
    },
  }
  const ending = new AbortController()
  const running = service.run(carrier, ending.signal)
  t.after(async () => {
    workloads.close()
    legs[Symbol.dispose]()
    ending.abort()
    await running
  })
  await eventually('control stream', () => clients.length > 0)
  return { ...fixture, client: () => clients.at(-1)!, quits: () => quits, readiness, resumed }
}

test('connect waits until session, routes, DNS and data stream are there, and says for what', async (t) => {
  const fixture = await startControl(t)
  const texts: string[] = []
  const connecting = fixture.client().call('connect', { timeoutMs: 5000 }, { onProgress: (text) => void texts.push(text) })
  await eventually('waits for routes', () => texts.includes('Setting the routes'))
  fixture.readiness.routesSet()
  await eventually('waits for DNS', () => texts.includes('Starting the DNS server'))
  fixture.readiness.dnsListens()
  assert.deepEqual(await connecting, {
    clusterDomain: 'cluster.local',
    managerName: 'OSS Traffic Manager',
    managerVersion: 'v2.21.3',
    podSubnets: ['10.244.0.0/16'],
    serviceSubnets: ['10.96.0.0/12'],
  })
  const status = await fixture.client().call('status', {})
  assert.deepEqual([status.manager, status.namespace, status.attachments], [{ state: 'up' }, 'shop', []])
  assert.ok(status.residentBytes > 0 && status.lastAnswerMs !== null)
})

test('connect fails at once when the routes are refused, whenever that was found out', async (t) => {
  const fixture = await startControl(t)
  await eventually('up', () => isUp(fixture))
  fixture.readiness.routesRefused(new TpxError('SUBNET_CONFLICT', 'Subnet 10.96.0.0/12 of the cluster overlaps'))
  await assert.rejects(fixture.client().call('connect', { timeoutMs: 30_000 }), { code: 'SUBNET_CONFLICT' })
})

test('connect fails at once for what waiting does not cure, and after its time with the last reason', async (t) => {
  const fixture = await startControl(t)
  await eventually('up', () => isUp(fixture))
  fixture.link.down = new TpxError('CARRIER_FAILED', 'Broken for now')
  fixture.manager.cut()
  await eventually('down', () => fixture.session.state.value.error?.message === 'Broken for now')
  await assert.rejects(fixture.client().call('connect', { timeoutMs: 30 }), { code: 'CARRIER_FAILED', message: 'Broken for now' })
  const connecting = fixture.client().call('connect', { timeoutMs: 30_000 })
  fixture.link.down = new TpxError('KUBERNETES_FORBIDDEN', 'No permission')
  await assert.rejects(connecting, { code: 'KUBERNETES_FORBIDDEN' })
  assert.deepEqual((await fixture.client().call('status', {})).manager, { detail: 'No permission', state: 'down' })
})

test('A lost control stream is opened again; an unknown method is refused', async (t) => {
  const fixture = await startControl(t)
  const first = fixture.client()
  first.close()
  await eventually('second stream', () => fixture.client() !== first)
  await assert.rejects(fixture.client().forward('constructor', {}), { code: 'USAGE' })
})

test('resume counts once, and snapshot tells the session', async (t) => {
  const fixture = await startControl(t)
  await eventually('up', () => isUp(fixture))
  const snapshot = await fixture.client().call('snapshot', {})
  assert.deepEqual(snapshot, { attachments: [], sessionId: 'session-1', virtual: { addresses: [], subnets: [] } })
  await fixture.client().call('resume', { snapshot })
  await fixture.client().call('resume', { snapshot: null })
  assert.deepEqual(fixture.resumed, [snapshot])
})

test('quit leaves, departs and then ends the program', async (t) => {
  const fixture = await startControl(t)
  await eventually('up', () => isUp(fixture))
  await fixture.client().call('quit', {})
  assert.equal(fixture.manager.sessions.size, 0)
  await eventually('ended', () => fixture.quits() === 1)
})

test('list answers from the first delta, keeps in step with the rest, and sorts by name', async (t) => {
  const fixture = await startControl(t)
  await eventually('up', () => isUp(fixture))
  fixture.manager.workloads = [
    { agentState: 0, kind: 1, name: 'web-app', state: 1 },
    { agentState: 2, kind: 3, name: 'db', state: 2 },
  ]
  const rows = await fixture.client().call('list', { namespace: null })
  assert.deepEqual(
    rows.map(({ agent, kind, name, namespace, state }) => [name, kind, agent, state, namespace]),
    [
      ['db', 'StatefulSet', 'intercepted', 'progressing', 'shop'],
      ['web-app', 'Deployment', 'none', 'available', 'shop'],
    ],
  )
  fixture.manager.publishWorkload(2, { agentState: 0, kind: 1, name: 'web-app', state: 1 })
  let names: string[] = []
  const ask = async (): Promise<void> => {
    names = (await fixture.client().call('list', { namespace: null })).map(({ name }) => name)
  }
  await eventually('one row', () => {
    void ask()
    return names.length === 1
  })
  assert.deepEqual(names, ['db'])
})
