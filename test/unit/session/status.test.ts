import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { TpxError } from '../../../src/base/error.ts'
import type { ContainerEngine } from '../../../src/container/container-engine.ts'
import { connectionLabels } from '../../../src/container/holder-container.ts'
import { type ConnectionStatus, StatusProbe } from '../../../src/session/status.ts'
import { serveControl } from '../../../src/wire/control-channel.ts'
import type { LinkStatus, StatusLeg, TunnelStatus } from '../../../src/wire/control.ts'

const settings = {
  carrier: 'unix',
  context: 'ctx',
  impersonate: {},
  kubeconfig: '/k',
  linkLogLevel: 'info',
  managerNamespace: 'ambassador',
  name: 'one',
  namespace: 'shop',
} as const
const up = (name: string): StatusLeg => ({ name, state: 'up' })
const attachment = { environment: { A: 'secret' }, environmentNames: ['A'], name: 'web' }

const link = {
  carrier: 'unix',
  context: 'ctx',
  legs: [up('tunnel'), up('api')],
  managerNamespace: 'ambassador',
  namespace: 'shop',
  pid: 7,
} as LinkStatus
const tunnel = {
  attachments: [attachment],
  dns: { address: '198.18.0.1' },
  lastAnswerMs: 1500,
  legs: [up('manager'), up('data'), up('network')],
} as unknown as TunnelStatus

type Answers = { engine?: Promise<never>; link?: LinkStatus; tunnel?: TunnelStatus }

/** A link in a runtime directory of its own; what is left out of the answers is never answered. */
async function start(t: TestContext, answers: Answers): Promise<StatusProbe> {
  const directory = mkdtempSync(join(tmpdir(), 'tpx-status-'))
  const before = process.env['XDG_RUNTIME_DIR']
  process.env['XDG_RUNTIME_DIR'] = directory
  mkdirSync(join(directory, 'tpx', 'one'), { recursive: true })
  const server = createServer((socket) =>
    serveControl(socket, (method) => {
      const answer = method === 'link.status' ? answers.link : answers.tunnel
      return answer ? Promise.resolve(answer) : new Promise(() => {})
    }),
  ).listen(join(directory, 'tpx', 'one', 'control.sock'))
  await once(server, 'listening')
  t.after(() => {
    server.close()
    rmSync(directory, { recursive: true })
    if (before === undefined) delete process.env['XDG_RUNTIME_DIR']
    else process.env['XDG_RUNTIME_DIR'] = before
  })
  const holder = { created: 1, id: 'h', labels: connectionLabels(settings, 'holder'), name: 'tpx-one-holder', state: 'running' }
  const engine = { listContainers: () => answers.engine ?? Promise.resolve([holder]) } as Partial<ContainerEngine> as ContainerEngine
  return new StatusProbe({ engine: async () => engine, engineMaxAgeMs: 0, limitMs: 600, root: directory, use: undefined })
}

async function look(probe: StatusProbe): Promise<ConnectionStatus & { tookMs: number }> {
  const began = performance.now()
  const [one] = await probe.look()
  assert.ok(one)
  return { ...one, tookMs: performance.now() - began }
}

const states = ({ legs }: ConnectionStatus): string => legs.map(({ name, state }) => `${name} ${state}`).join(', ')

test('StatusProbe shows all legs in the order in which they depend on each other, and no secret', async (t) => {
  const one = await look(await start(t, { link, tunnel }))
  assert.equal(states(one), 'engine up, link up, tunnel up, api up, manager up, data up, network up')
  assert.deepEqual([one.state, one.cause, one.doing, one.next], ['connected', null, null, null])
  assert.equal(one.lastProven?.agoMs, 1500)
  assert.ok(Math.abs(Date.now() - 1500 - Date.parse(one.lastProven.at)) < 500)
  assert.deepEqual(one.attachments[0]?.environmentNames, ['A'])
  assert.ok(!JSON.stringify(one).includes('secret'))
})

test('StatusProbe takes the cause from the first leg that is broken, and what is done from the first that says it', async (t) => {
  const api: StatusLeg = { detail: 'The API is away', name: 'api', next: 'Is the VPN up?', state: 'down' }
  const manager: StatusLeg = { detail: 'Lost', doing: 'reconnecting, next try in 0.8 s', name: 'manager', next: 'x', state: 'down' }
  const one = await look(await start(t, { link: { ...link, legs: [up('tunnel'), api] }, tunnel: { ...tunnel, legs: [manager] } }))
  assert.deepEqual(
    [one.state, one.cause, one.doing, one.next],
    ['degraded', 'The API is away', 'reconnecting, next try in 0.8 s', 'Is the VPN up?'],
  )
})

test('StatusProbe says within its limit that the link does not answer', async (t) => {
  const one = await look(await start(t, {}))
  assert.equal(states(one), 'engine up, link down, tunnel unknown, api unknown, manager unknown')
  assert.match(one.cause ?? '', /link process has not answered for 0.6 s/)
  assert.match(one.next ?? '', /--connection=one /)
  assert.ok(one.tookMs < 2500, `${one.tookMs}`)
})

test('StatusProbe says within its limit that the tunnel does not answer', async (t) => {
  const one = await look(await start(t, { link }))
  assert.equal(states(one), 'engine up, link up, tunnel down, api up, manager unknown')
  assert.match(one.cause ?? '', /tunnel container has not answered/)
  assert.ok(one.tookMs < 2500, `${one.tookMs}`)
})

test('StatusProbe does not wait for a tunnel that the link does not see', async (t) => {
  const dead: StatusLeg = { detail: 'It ended', doing: 'starting it again', name: 'tunnel', state: 'down' }
  const one = await look(await start(t, { link: { ...link, legs: [dead, up('api')] } }))
  assert.deepEqual([one.cause, one.doing], ['It ended', 'starting it again'])
  assert.ok(one.tookMs < 550, `${one.tookMs}`)
})

test('StatusProbe shows what the link knows while the engine is away, or silent', async (t) => {
  const refused = Promise.reject(new TpxError('DOCKER_UNREACHABLE', 'No engine', { hint: 'Start it' }))
  const one = await look(await start(t, { engine: refused, link, tunnel }))
  assert.match(states(one), /^engine down, link up, tunnel up/)
  assert.deepEqual([one.state, one.cause, one.settings.namespace], ['degraded', 'No engine', 'shop'])
  const other = await look(await start(t, { engine: new Promise(() => {}), link, tunnel }))
  assert.match(other.cause ?? '', /^The Docker Engine has not answered for 0.6 s/)
  assert.ok(other.tookMs < 2500, `${other.tookMs}`)
})

test('StatusProbe fails where there is neither an engine nor a link', async (t) => {
  const refused = Promise.reject(new TpxError('DOCKER_UNREACHABLE', 'No engine'))
  const probe = await start(t, { engine: refused })
  rmSync(join(process.env['XDG_RUNTIME_DIR'] ?? '', 'tpx', 'one'), { recursive: true })
  await assert.rejects(probe.look(), { code: 'DOCKER_UNREACHABLE' })
})
