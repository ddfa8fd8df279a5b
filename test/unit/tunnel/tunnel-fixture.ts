import { once } from 'node:events'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import type { TestContext } from 'node:test'
import { TpxError } from '../../../src/base/error.ts'
import { silentLogger } from '../../../src/base/logger.ts'
import { pollUntil } from '../../../src/base/retry.ts'
import { Attachments } from '../../../src/tunnel/attachments.ts'
import type { Carrier } from '../../../src/tunnel/carrier.ts'
import { ClientSettings } from '../../../src/tunnel/client-settings.ts'
import { DataSession } from '../../../src/tunnel/data-session.ts'
import { ManagerSession } from '../../../src/tunnel/manager-session.ts'
import type { ClientConfig } from '../../../src/wire/client-config.ts'
import type { TunnelSnapshot } from '../../../src/wire/control.ts'
import type { Settings } from '../../../src/tunnel/settings.ts'
import { FakeAgent } from './fake-agent.ts'
import { FakeManager } from './fake-manager.ts'

export const settings: Settings = {
  carrier: 'unix',
  clientConfig: {},
  clientName: 'ann@laptop',
  clusterDomain: 'cluster.local',
  connection: 'c1',
  fallbackNameservers: '',
  installId: 'install-1',
  logLevel: 'silent',
  managerNamespace: 'ambassador',
  namespace: 'shop',
}

/** The session side of a tunnel against a manager and agents in this process. */
export type Fixture = {
  agents: Map<string, FakeAgent>
  attachments: Attachments
  carrier: Carrier
  clientSettings: ClientSettings
  data: DataSession
  /** What the link refuses with, while set. */
  link: { down: TpxError | null }
  manager: FakeManager
  session: ManagerSession
}

/** @param options `after`: the fixture whose tunnel crashed and whose snapshot this one goes on from */
export async function startFixture(
  t: TestContext,
  options: {
    after?: { fixture: Pick<Fixture, 'agents' | 'manager'>; snapshot: TunnelSnapshot }
    attachLimitMs?: number
    clientConfig?: ClientConfig
    manager?: FakeManager
  } = {},
): Promise<Fixture> {
  const { after } = options
  const manager = options.manager ?? after?.fixture.manager ?? (await new FakeManager().start())
  const agents = after?.fixture.agents ?? new Map<string, FakeAgent>()
  const link: Fixture['link'] = { down: null }
  const carrier: Carrier = {
    close: () => {},
    open: async (target): Promise<Duplex> => {
      if (link.down) throw link.down
      if (target.kind === 'pod') {
        const agent = agents.get(target.name)
        if (!agent) throw new TpxError('AGENT_UNREACHABLE', `No Pod "${target.name}"`)
        return agent.connect()
      }
      const socket = net.connect(manager.port, '127.0.0.1')
      await once(socket, 'connect')
      return socket.on('error', () => {})
    },
  }
  const logger = silentLogger()
  const graceMs = (): number => 10_000
  const { attachLimitMs: intercept, clientConfig = {} } = options
  const clientSettings = new ClientSettings({ ...clientConfig, ...(intercept === undefined ? {} : { timeouts: { intercept } }) })
  const session = new ManagerSession({ carrier, client: clientSettings, configEveryMs: 1000, logger, settings })
  const data = new DataSession({ carrier, graceMs, logger, manager: session, managerNamespace: settings.managerNamespace })
  const attachments = new Attachments({ carrier, client: clientSettings, graceMs, logger, manager: session, settings })
  if (after?.snapshot.sessionId) session.resume(after.snapshot.sessionId)
  attachments.resume(after?.snapshot.attachments ?? [])
  const ending = new AbortController()
  const running = [session.run(ending.signal), data.run(ending.signal)]
  t.after(async () => {
    await attachments.leaveAll()
    ending.abort()
    await Promise.all(running)
    await manager.stop()
  })
  return { agents, attachments, carrier, clientSettings, data, link, manager, session }
}

/** Waits until something is so. */
export async function eventually(what: string, probe: () => boolean, timeoutMs = 5000): Promise<void> {
  const found = await pollUntil(async () => (probe() ? true : undefined), { everyMs: 10, timeoutMs })
  if (!found) throw new Error(`Never so: ${what}`)
}

export const isUp = ({ data, session }: Fixture): boolean => session.state.value.leg.state === 'up' && data.state.value.isUp
