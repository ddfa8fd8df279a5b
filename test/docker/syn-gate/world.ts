// Four containers: peer (services), holder (owns the namespace), gate (the program under test) and app.
import { createInterface } from 'node:readline'
import { VERSION } from '../../../src/base/version.ts'
import { bundlePrograms } from '../../helpers/bundle.ts'
import { attachContainer, docker, TestContainer, uniqueName } from '../../helpers/docker.ts'
import type { Outcome } from './app.ts'
import { SUBNET } from './ports.ts'

/** The image with Node, koffi, nft and ip. */
export const TUNNEL_IMAGE = process.env['TPX_TUNNEL_IMAGE'] ?? `tpx/tunnel:${VERSION}`

/** Answers of the app container's operations. */
export type AppResults = {
  datagram: { code: string; ms: number; same: boolean }
  exchange: Outcome
  held: Outcome
  hold: object
  latency: { p50: number; p99: number }
  listen: { code: string }
  many: { codes: string[]; good: number; ms: number; p50: number; p99: number }
  ping: { code: string; ms: number; same: boolean }
  readLate: { bytes: number; code: string; ended: boolean }
  requests: { p50: number; p99: number; perSecond: number }
  reuse: { codes: string[]; good: number }
  speakAfterFin: { code: string }
}

/** The containers, and how to ask the app. */
export type World = {
  app: <Op extends keyof AppResults>(op: Op, params: object) => Promise<AppResults[Op]>
  gate: TestContainer
  holder: TestContainer
  peer: TestContainer
} & AsyncDisposable

const IPV6 = ['--sysctl', 'net.ipv6.conf.all.disable_ipv6=0']
/** What the tunnel container is given. */
const PRIVILEGES = ['--cap-drop', 'ALL', '--cap-add', 'NET_ADMIN', '--device', '/dev/net/tun']

function bundle(): ReturnType<typeof bundlePrograms> {
  return bundlePrograms(Object.fromEntries(['app', 'far', 'gate'].map((name) => [name, new URL(`./${name}.ts`, import.meta.url)])))
}

function mountOf(directory: string): string[] {
  return ['--volume', `${directory}:/trial:ro`, '--env', 'NODE_PATH=/app/node_modules', '--entrypoint', 'node']
}

/** Runs the gate with other options until it is ready or ends, and answers its log. */
export async function tryGate(options: string[]): Promise<string> {
  using programs = await bundle()
  await using gate = await TestContainer.start({
    command: ['/trial/gate.cjs'],
    image: TUNNEL_IMAGE,
    name: uniqueName('tpx-gate-try'),
    options: [...mountOf(programs.directory), ...options],
  })
  return await gate.waitForLog(/^(ready|TpxError)[^]*/, { timeoutMs: 15_000 })
}

/** Starts all four. `env` goes to the gate; `ipv6` is whether the namespace has IPv6. */
export async function startWorld(env: Record<string, string> = {}, { ipv6 = true } = {}): Promise<World> {
  const prefix = uniqueName('tpx-gate')
  const programs = await bundle()
  const stack = new AsyncDisposableStack()
  stack.use(programs)
  try {
    const mount = mountOf(programs.directory)
    const image = TUNNEL_IMAGE
    const holder = stack.use(
      await TestContainer.start({
        command: ['infinity'],
        image,
        name: `${prefix}-holder`,
        options: ['--cap-drop', 'ALL', ...(ipv6 ? IPV6 : []), '--init', '--entrypoint', 'sleep'],
      }),
    )
    // An address of the bridge that nobody has: the holder's with another last number.
    const missing = (await holder.address()).replace(/\d+$/, '253')
    const peer = stack.use(
      await TestContainer.start({
        command: ['/trial/far.cjs'],
        image,
        name: `${prefix}-peer`,
        options: [...mount, '--cap-drop', 'ALL', '--env', `MISSING=${missing}`],
      }),
    )
    await peer.waitForLog(/^ready/)
    const network = ['--network', `container:${holder.name}`]
    const variables = { FAR: await peer.address(), MISSING: missing, SUBNETS: Object.values(SUBNET).join(' '), ...env }
    const gate = stack.use(
      await TestContainer.start({
        command: ['--max-semi-space-size=8', '--max-old-space-size=128', '/trial/gate.cjs'],
        image,
        name: `${prefix}-gate`,
        options: [
          ...mount,
          ...network,
          ...PRIVILEGES,
          '--security-opt',
          'no-new-privileges',
          '--read-only',
          '--tmpfs',
          '/tmp',
          ...Object.entries(variables).flatMap(([name, value]) => ['--env', `${name}=${value}`]),
        ],
      }),
    )
    await gate.waitForLog(/^ready/)
    const attached = stack.use(
      attachContainer({ command: ['/trial/app.cjs'], image, name: `${prefix}-app`, options: [...mount, ...network, '--cap-drop', 'ALL'] }),
    )
    const app = await askApp(attached.process)
    const resources = stack.move()
    return { app, gate, holder, peer, [Symbol.asyncDispose]: () => resources.disposeAsync() }
  } catch (error) {
    await stack.disposeAsync()
    throw error
  }
}

type Call = { reject: (error: Error) => void; resolve: (result: never) => void }

async function askApp(child: ReturnType<typeof attachContainer>['process']): Promise<World['app']> {
  const calls = new Map<number, Call>()
  let nextId = 1
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  const ready = new Promise((resolve, reject) => calls.set(0, { reject, resolve }))
  child.on('close', () => {
    for (const { reject } of calls.values()) reject(new Error(`the app container ended: ${stderr}`))
  })
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { error, id, result } = JSON.parse(line) as { error?: string; id: number; result: never }
    const call = calls.get(id)
    calls.delete(id)
    if (error) call?.reject(new Error(error))
    else call?.resolve(result)
  })
  await ready
  return (op, params) =>
    new Promise((resolve, reject) => {
      const id = nextId++
      calls.set(id, { reject, resolve })
      child.stdin.write(`${JSON.stringify({ id, op, params })}\n`)
    })
}

/** Routes of the namespace, as `ip route` prints them. */
export function routesOf(holder: TestContainer): Promise<string> {
  return docker(['exec', holder.name, 'ip', 'route'])
}
