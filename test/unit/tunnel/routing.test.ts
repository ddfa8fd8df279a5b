import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TpxError } from '../../../src/base/error.ts'
import { silentLogger } from '../../../src/base/logger.ts'
import { Cell } from '../../../src/tunnel/cell.ts'
import { ClientSettings } from '../../../src/tunnel/client-settings.ts'
import type { ClusterView } from '../../../src/tunnel/cluster-view.ts'
import type { ManagerState } from '../../../src/tunnel/manager-session.ts'
import type { Network } from '../../../src/tunnel/network.ts'
import { Routing } from '../../../src/tunnel/routing.ts'
import type { ClientConfig } from '../../../src/wire/client-config.ts'
import { describeConflict } from '../../../src/wire/describe-conflict.ts'
import { eventually } from './tunnel-fixture.ts'

const VPN = { cidr: '10.0.0.0/8', name: 'tun0 of the host' }
const view = (more: Partial<ClusterView> = {}): ClusterView => ({
  clusterDomain: 'cluster.local',
  excludeSuffixes: [],
  includeSuffixes: [],
  podSubnets: ['10.244.1.0/24'],
  serviceSubnets: ['10.96.0.0/16'],
  ...more,
})

async function aRouting(t: { after: (fn: () => void) => void }, config: ClientConfig['routing'] = {}) {
  const state = new Cell({ cluster: view() } as ManagerState)
  const set: string[][] = []
  const settled: (TpxError | null)[] = []
  const workloads: string[][] = []
  let renumbered = 0
  const ending = new AbortController()
  t.after(() => ending.abort())
  const network = {
    hasIpv6: false,
    setSubnets: async (cidrs: string[]) => void set.push(cidrs),
  } as unknown as Network
  const routing = new Routing({
    client: new ClientSettings({ routing: config }),
    logger: silentLogger(),
    manager: { state },
    onRenumbered: () => void renumbered++,
    onSettled: (refusal) => void settled.push(refusal),
    onWorkloads: (names) => void workloads.push(names),
    // This machine's own networks must not decide.
    watchNetworks: async (onChange) => onChange([]),
  })
  const start = () => routing.start(network, ending.signal)
  const settles = async (count: number): Promise<void> => {
    await eventually('settled', () => settled.length >= count)
  }
  return { network, renumbered: () => renumbered, routing, set, settled, settles, start, state, workloads }
}

test('Routing follows the cluster and sets nothing twice', async (t) => {
  const { routing, set, settles, start, state } = await aRouting(t)
  await start()
  await settles(1)
  assert.deepEqual(set, [['10.96.0.0/16', '10.244.1.0/24']])
  state.patch({ failures: 1 })
  state.patch({ cluster: view({ podSubnets: ['10.244.1.0/24', '10.244.2.0/24'] }) })
  await settles(2)
  assert.deepEqual(set[1], ['10.96.0.0/16', '10.244.1.0/24', '10.244.2.0/24'])
  routing.setHost({ apiAddresses: ['10.244.2.0'], networks: [] })
  await settles(3)
  assert.ok(!set[2]?.includes('10.244.2.0/24') && routing.status().neverProxied.includes('10.244.2.0/32'))
  assert.equal(set.length, 3)
})

test('Routing takes what the host has into account from the beginning, and does not renumber afterwards', async (t) => {
  const { renumbered, routing, set, settles, start } = await aRouting(t)
  routing.setHost({ apiAddresses: [], networks: [VPN] })
  await start()
  await settles(1)
  assert.deepEqual(set, [['246.246.0.0/17', '246.246.128.0/24']])
  assert.equal(renumbered(), 1)
  assert.equal(routing.addresses.toVirtual('10.244.1.7'), '246.246.128.7')
  assert.deepEqual(routing.reverseSubnets(), ['246.246.0.0/17', '246.246.128.0/24'])
  const { conflicts, virtual } = routing.status()
  assert.match(
    describeConflict(conflicts[0]!, virtual),
    /10\.96\.0\.0\/16 .* 10\.0\.0\.0\/8 \(tun0 of the host\): it is reached under addresses of 246\.246/,
  )
  routing.setHost({ apiAddresses: [], networks: [] })
  await settles(2)
  assert.deepEqual([renumbered(), routing.status().conflicts, routing.status().virtual.length], [1, [], 2])
})

test('Routing keeps a subnet that is in use when a VPN comes up', async (t) => {
  const { renumbered, routing, set, settles, start } = await aRouting(t)
  await start()
  await settles(1)
  routing.setHost({ apiAddresses: [], networks: [VPN] })
  await settles(2)
  assert.deepEqual(set[0], set[1])
  assert.deepEqual([renumbered(), routing.status().conflicts.map(({ resolution }) => resolution)], [0, ['kept', 'kept']])
})

test('Routing refuses before anything is routed, and leaves alone what is', async (t) => {
  const { routing, set, settled, settles, start } = await aRouting(t, { autoResolveConflicts: false })
  routing.setHost({ apiAddresses: [], networks: [VPN] })
  await start()
  await settles(1)
  assert.deepEqual([set, settled[0]?.code], [[], 'SUBNET_CONFLICT'])
  assert.equal(routing.status().conflicts[0]?.resolution, 'refused')
  routing.setHost({ apiAddresses: [], networks: [] })
  await settles(2)
  assert.deepEqual([set.length, settled[1]], [1, null])
})

test('Routing goes on with the virtual addresses of the tunnel before', async (t) => {
  const first = await aRouting(t)
  first.routing.setHost({ apiAddresses: [], networks: [VPN] })
  await first.start()
  await first.settles(1)
  const virtual = first.routing.addresses.toVirtual('10.96.200.9')
  const second = await aRouting(t)
  second.routing.resume(first.routing.snapshot())
  await second.start()
  await second.settles(1)
  assert.equal(second.routing.addresses.toReal(virtual ?? '')?.address, '10.96.200.9')
  assert.deepEqual([second.set, second.renumbered()], [first.set, 0])
})

test('Routing tells whose agents dial, and notes once that pings are not carried', async (t) => {
  const { routing, settles, start, workloads } = await aRouting(t, { proxyVia: [{ cidr: '10.30.0.0/16', workload: 'db' }] })
  await start()
  await settles(1)
  assert.deepEqual(workloads, [['db']])
  routing.notePing('EACCES')
  routing.notePing('EACCES')
  assert.equal(routing.status().notes.length, 1)
  assert.match(routing.status().notes[0] ?? '', /ping_group_range/)
})
