// The fault matrix: each fault strikes while an idle connection, a transfer of 1 GB, 100 requests a second and 100 more through an
// attachment are under way. One test for each cell. TPX_FAULTS=REGEX: only these rows.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { quitAll } from '../helpers/cluster.ts'
import { loadKubeconfig } from '../../src/kube/kubeconfig.ts'
import { apiServer, KubeconfigFolder, setServer } from '../helpers/kubeconfig.ts'
import { TcpProxy } from '../helpers/tcp-proxy.ts'
import { TokenProxy } from '../helpers/token-proxy.ts'
import { tpxOk } from '../helpers/tpx.ts'
import { cleanUp, type Fate, type Fault, FAULTS, type Path, restore } from './faults.ts'
import { clusterRemains, CONNECTION, NAMESPACE, remains, setUpLab, tearDownLab } from './lab.ts'
import { type AppContainer, Load, loadInContainer, loadInPod, type LoadEvent, type RequestWindow, serverInContainer } from './load.ts'

const BACK_MS = 10_000
const BYTES = 1_000_000_000
/** So that it lasts 15 s and more: under way when the fault strikes, and long after. The exec carrier is slower. */
const RATE = { exec: 40_000_000, unix: 65_000_000 }
const AGAIN_BYTES = 50_000_000
const SETTLE_MS = 2000
const REQUESTS = 100
const SUITE_MS = 3_600_000
const TOKEN = 'test-token'

const rows = FAULTS.filter(({ name }) => new RegExp(process.env['TPX_FAULTS'] ?? '').test(name))
const skip = process.env['TPX_TEST_CLUSTER'] === 'external' && 'restarts nodes: only with the cluster of test/cluster'

/** A connection with everything that goes through it. */
type Bench = AsyncDisposable & {
  apps: AppContainer[]
  idle: Load
  inbound: Load
  requests: Load
  transfer: Load
}

/** What there was at a time to compare with. */
type Moment = { atMs: number; bytes: number; events: Record<'idle' | 'transfer', number> }

const moment = ({ idle, transfer }: Bench): Moment => ({
  atMs: Date.now(),
  bytes: transfer.last('progress')?.bytes ?? 0,
  events: { idle: idle.events.length, transfer: transfer.events.length },
})

async function openBench(fault: Fault, direction: 'down' | 'up', environment: Record<string, string>): Promise<Bench> {
  await using stack = new AsyncDisposableStack()
  stack.defer(quitAll)
  await tpxOk(['connect', '--name', CONNECTION, '--namespace', NAMESPACE, '--carrier', fault.carrier], { env: environment })
  const server = stack.use(await serverInContainer(CONNECTION, 8088))
  await tpxOk(['intercept', 'shop', '--port', '8088:http', '--use', CONNECTION])
  const rate = RATE[fault.carrier]
  const transferWords = ['transfer', direction, `far:${direction === 'up' ? 7002 : 7008}`, String(BYTES), String(rate)]
  const idle = await loadInContainer(CONNECTION, 'idle', ['hold', 'far:7001'])
  stack.use(idle.load)
  const requests = await loadInContainer(CONNECTION, 'requests', ['requests', 'http://web/', String(REQUESTS), 'web-in-cluster'])
  stack.use(requests.load)
  const inbound = stack.use(await loadInPod(NAMESPACE, 'inbound', ['requests', 'http://shop/', String(REQUESTS), 'NAME=developer']))
  const transfer = await loadInContainer(CONNECTION, 'transfer', transferWords)
  stack.use(transfer.load)
  await Promise.all([
    idle.load.next('echo', ({ event }) => event === 'echo', { from: 0, limitMs: 10_000 }),
    transfer.load.next('progress', ({ bytes = 0 }) => bytes > rate / 2, { from: 0, limitMs: 10_000 }),
    sleep(SETTLE_MS),
  ])
  const owned = stack.move()
  return {
    apps: [server, idle.app, requests.app, transfer.app],
    idle: idle.load,
    inbound,
    requests: requests.load,
    transfer: transfer.load,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** A generator must be in order before the fault, or what is measured after it says nothing. */
function assertFlows(window: RequestWindow, title: string): void {
  const { dialErrors, dials: _, failed, ok } = window
  assert.deepEqual({ dialErrors, failed, title }, { dialErrors: {}, failed: 0, title })
  assert.ok(ok > REQUESTS / 2, `${title}: ${JSON.stringify(window)}`)
}

/** During an outage nothing may pass, or the fault was none. What lies in buffers may still come out in its first second. */
async function outage({ idle, transfer }: Bench, lastsMs: number): Promise<void> {
  const passed = () => ({
    bytes: transfer.last('progress')?.bytes,
    echoes: idle.events.filter(({ event }) => event === 'echo').length,
  })
  const drainMs = Math.min(lastsMs / 2, 1500)
  await sleep(drainMs)
  const before = passed()
  await sleep(lastsMs - drainMs)
  assert.deepEqual(passed(), before, 'something passed while nothing should')
}

const isReset = ({ error, event }: LoadEvent): boolean => event === 'broken' && error === 'connection reset by peer'

/** How the idle connection and the transfer came through: by their own events since the strike. */
async function idleCell({ idle }: Bench, fate: Fate, { repaired, struck }: { repaired: Moment; struck: Moment }): Promise<string> {
  if (fate === 'resets') {
    const broken = await idle.next('reset', ({ event }) => event === 'broken', { from: struck.events.idle, limitMs: BACK_MS })
    assert.ok(isReset(broken), `broken with "${broken.error}" instead of a reset`)
  }
  const from = idle.events.length
  idle.tell('')
  const echo = await idle.next('echo', ({ event }) => event !== 'stats', { from, limitMs: BACK_MS })
  assert.equal(echo.event, 'echo', `broken with "${echo.error}"`)
  if (fate === 'survives') assert.equal(idle.last('broken'), undefined)
  return `echo ${echo.atMs - repaired.atMs} ms after the repair`
}

async function transferCell({ transfer }: Bench, fate: Fate, { repaired, struck }: { repaired: Moment; struck: Moment }): Promise<string> {
  if (fate === 'resets') {
    const broken = await transfer.next('reset', ({ event }) => event === 'broken' || event === 'done', {
      from: struck.events.transfer,
      limitMs: BACK_MS,
    })
    assert.ok(isReset(broken), `${broken.event} with "${broken.error}" instead of a reset`)
    transfer.tell(`${AGAIN_BYTES} 0`)
  }
  const from = fate === 'resets' ? transfer.events.length : repaired.events.transfer
  const first = await transfer.next('progress', ({ event }) => event !== 'connected', { from, limitMs: BACK_MS })
  assert.notEqual(first.event, 'broken', `broken with "${first.error}"`)
  const wanted = fate === 'resets' ? AGAIN_BYTES : BYTES
  const done = await transfer.next('end', ({ event }) => event === 'broken' || event === 'done', { from, limitMs: 60_000 })
  assert.deepEqual({ bytes: done.bytes, error: done.error, matches: done.matches }, { bytes: wanted, error: undefined, matches: true })
  if (fate === 'survives') assert.equal(transfer.last('broken'), undefined)
  return `first byte ${Math.max(0, first.atMs - repaired.atMs)} ms after the repair, all ${wanted} bytes`
}

/** Counts between strike and repair, in the 10 s after it, and in a second after those. */
type Windows = { after: RequestWindow; back: RequestWindow; during: RequestWindow }

async function requestWindows(load: Load, during: RequestWindow): Promise<Windows> {
  await sleep(BACK_MS)
  const back = await load.stats()
  await sleep(1000)
  return { after: await load.stats(), back, during }
}

function requestCell({ after, back, during }: Windows, fate: Fate): string {
  const told = JSON.stringify({ after, back, during })
  const sum = (of: (window: RequestWindow) => number): number => of(during) + of(back) + of(after)
  const errors = [during, back, after].flatMap((window) => Object.keys(window.errors))
  if (fate === 'survives')
    assert.deepEqual({ failed: sum(({ failed }) => failed), dials: sum(({ dials }) => dials) }, { failed: 0, dials: 0 }, told)
  else
    assert.deepEqual(
      [...new Set(errors)].filter((error) => error !== 'connection reset by peer'),
      [],
      told,
    )
  if (fate === 'resets') assert.ok(sum(({ failed }) => failed) > 0, `nothing was reset: ${told}`)
  assert.ok(back.firstOkMs >= 0, `not back within 10 s: ${told}`)
  assert.deepEqual([after.failed, after.elsewhere, Object.keys(after.dialErrors)], [0, 0, []], `still failing after 10 s: ${told}`)
  assert.ok(after.ok > REQUESTS / 2 && after.oldestMs < 2000, `still waiting after 10 s: ${told}`)
  return `ok after ${back.firstOkMs} ms, last failure after ${back.lastFailedMs} ms; ${sum(({ failed }) => failed)} failed`
}

const CELLS = {
  idle: 'an idle connection',
  transfer: '1 GB',
  requests: '100 requests a second',
  inbound: '100 requests a second through the attachment',
  containers: 'the app containers are the same processes',
  leftovers: 'nothing is left',
}
type Cell = keyof typeof CELLS
type Outcome = { error?: unknown; text?: string }

async function settle(work: () => Promise<string>): Promise<Outcome> {
  try {
    return { text: await work() }
  } catch (error) {
    return { error }
  }
}

async function strikeAndLook(fault: Fault, bench: Bench, path: Path): Promise<Record<Exclude<Cell, 'leftovers'>, Outcome>> {
  assertFlows(await bench.requests.stats(), 'requests')
  assertFlows(await bench.inbound.stats(), 'inbound')
  const identities = await Promise.all(bench.apps.map(({ identity }) => identity()))
  const struck = moment(bench)
  await fault.strike(path)
  if (fault.isOutage) await outage(bench, fault.lastsMs)
  else await sleep(fault.lastsMs)
  // From here on: what a command that repairs takes counts, too; what the cluster needs to come back by itself does not.
  let repaired = moment(bench)
  const [requests, inbound] = [bench.requests, bench.inbound]
  await fault.repair(path)
  if (!fault.isOutage) repaired = moment(bench)
  const during = await Promise.all([requests.stats(), inbound.stats()])
  const moments = { repaired, struck }
  const { fate } = fault
  const [idle, transfer, requestsOutcome, inboundOutcome] = await Promise.all([
    settle(() => idleCell(bench, fate.outbound, moments)),
    settle(() => transferCell(bench, fate.outbound, moments)),
    settle(async () => requestCell(await requestWindows(requests, during[0]), fate.outbound)),
    settle(async () => requestCell(await requestWindows(inbound, during[1]), fate.inbound)),
  ])
  const containers = await settle(async () => {
    assert.deepEqual(await Promise.all(bench.apps.map(({ identity }) => identity())), identities)
    return 'ids and PIDs as before'
  })
  return { containers, idle, inbound: inboundOutcome, requests: requestsOutcome, transfer }
}

async function runRow(fault: Fault, direction: 'down' | 'up', path: Path): Promise<Record<Cell, Outcome>> {
  let cells: Record<Exclude<Cell, 'leftovers'>, Outcome>
  {
    await using bench = await openBench(fault, direction, path.environment)
    await using _end = { [Symbol.asyncDispose]: () => restore(path) }
    cells = await strikeAndLook(fault, bench, path)
  }
  await cleanUp()
  const leftovers = await settle(async () => {
    assert.equal(await remains(), '')
    assert.equal(await clusterRemains(), '')
    return 'nothing'
  })
  return { ...cells, leftovers }
}

describe('fault matrix', { skip, timeout: SUITE_MS }, () => {
  let gate: TokenProxy
  let api: TcpProxy
  const kubeconfigs = new KubeconfigFolder()
  const environments: Record<Fault['through'], Record<string, string>> = { gate: {}, proxy: {} }

  before(async () => {
    await quitAll()
    await setUpLab()
    api = await TcpProxy.start(apiServer())
    gate = await TokenProxy.start(await loadKubeconfig())
    gate.tokens.add(TOKEN)
    const behindProxy = kubeconfigs.kubeconfig((config) => setServer(config, `https://127.0.0.1:${api.port}`))
    const behindGate = kubeconfigs.kubeconfig(({ clusters, users }) => {
      for (const entry of clusters) Object.assign(entry, { cluster: gate.cluster })
      for (const entry of users) Object.assign(entry, { user: { token: TOKEN } })
    })
    environments.proxy = { KUBECONFIG: behindProxy }
    environments.gate = { KUBECONFIG: behindGate }
  })
  after(async () => {
    await quitAll()
    await api?.[Symbol.asyncDispose]()
    await gate?.[Symbol.asyncDispose]()
    kubeconfigs[Symbol.dispose]()
    await tearDownLab()
  })

  for (const [index, fault] of rows.entries()) {
    const direction = index % 2 ? 'up' : 'down'
    const { inbound, outbound } = fault.fate
    describe(`${fault.name} (outbound: ${outbound}; inbound: ${inbound}; 1 GB ${direction})`, () => {
      let outcome: Record<Cell, Outcome>
      before(async () => {
        outcome = await runRow(fault, direction, { api, environment: environments[fault.through], gate, token: TOKEN })
      })
      for (const [cell, title] of Object.entries(CELLS) as [Cell, string][])
        test(title, (context) => {
          const { error, text } = outcome[cell]
          if (error) throw error
          context.diagnostic(text ?? '')
        })
    })
  }
})
