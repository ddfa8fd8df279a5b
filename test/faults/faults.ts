// The faults: what each does to the path, that it really did it, and how it ends.
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { VERSION } from '../../src/base/version.ts'
import type { TcpProxy } from '../helpers/tcp-proxy.ts'
import type { TokenProxy } from '../helpers/token-proxy.ts'
import { docker, eventually, run, tpxOk } from '../helpers/tpx.ts'
import {
  CONNECTION,
  deletePods,
  linkPid,
  linkProcesses,
  managerIsBack,
  NAMESPACE,
  newPod,
  NODES,
  podsOf,
  processState,
  tunnel,
} from './lab.ts'

/** What a fault may reach for. */
export type Path = { api: TcpProxy; environment: Record<string, string>; gate: TokenProxy; token: string }

/** What becomes of TCP connections that are open when the fault strikes. `either`: both are right, a stall is not. */
export type Fate = 'either' | 'resets' | 'survives'

/** A row of the matrix. */
export type Fault = {
  carrier: 'exec' | 'unix'
  /** Of the connections of the app, and of those through the traffic-agent to it. */
  fate: { inbound: Fate; outbound: Fate }
  /** Whether nothing passes between strike() and repair(): then the harness makes sure that nothing did. */
  isOutage: boolean
  lastsMs: number
  name: string
  /** Ends the fault. Where it ends by itself: waits until its cause has gone. */
  repair: (path: Path) => Promise<void>
  strike: (path: Path) => Promise<void>
  /** Which kubeconfig: by client certificate through the TCP proxy, or by token through the TLS proxy. */
  through: 'gate' | 'proxy'
}

const LONG = process.env['TPX_LONG'] === '1'
const SECOND = 1000

const survives = { inbound: 'survives', outbound: 'survives' } as const
const common = { carrier: 'unix', fate: survives, isOutage: true, lastsMs: 4 * SECOND, through: 'proxy' } as const

/** Values that a fault notes for its end. */
let noted: string[] = []
let link = 0

/** Its supervisor starts it again. */
const linkKilled: Fault = {
  ...common,
  isOutage: false,
  lastsMs: 0,
  name: 'link killed',
  async strike() {
    link = linkPid()
    process.kill(link, 'SIGKILL')
    await eventually('the link to be gone', async () => [undefined, 'Z'].includes(processState(link)), 2000)
  },
  async repair() {
    await eventually('another link', async () => linkPid() !== link, 5000)
  },
}

/** Nobody is left to start it again: the next command does. */
const linkAndSupervisorKilled: Fault = {
  ...common,
  name: 'link and its supervisor killed, then tpx status',
  async strike() {
    const { link, supervisor } = linkProcesses()
    for (const pid of [...supervisor, ...link]) process.kill(pid, 'SIGKILL')
    await eventually('the link to be gone', async () => Object.values(linkProcesses()).flat().length === 0, 2000)
  },
  async repair() {
    await tpxOk(['status'])
    linkPid()
  },
}

const linkFrozen: Fault = {
  ...common,
  lastsMs: LONG ? 600 * SECOND : 60 * SECOND,
  name: LONG ? 'link frozen for 10 minutes' : 'link frozen for 60 s',
  async strike() {
    link = linkPid()
    process.kill(link, 'SIGSTOP')
    await eventually('the link to be stopped', async () => processState(link) === 'T', 2000)
  },
  async repair() {
    if (processState(link) !== 'T') throw new Error(`The link is in state ${processState(link)}, not stopped`)
    process.kill(link, 'SIGCONT')
  },
}

const apiClosed: Fault = {
  ...common,
  name: 'API port closed, then open',
  async strike({ api }) {
    if (!api.connections) throw new Error('Nothing goes through the proxy')
    api.close('reset')
  },
  async repair({ api }) {
    await api.open()
  },
}

const networkChanged: Fault = {
  ...common,
  name: 'network of the host changed: open connections to the API stay silent, then new ones work',
  async strike({ api }) {
    if (!api.connections) throw new Error('Nothing goes through the proxy')
    api.close('silence')
  },
  async repair({ api }) {
    await api.open()
  },
}

const unauthorized: Fault = {
  ...common,
  name: 'API answers 401, then recovers',
  through: 'gate',
  async strike({ gate }) {
    noted = [...gate.tokens]
    gate.tokens.clear()
    gate.cut()
  },
  async repair({ gate }) {
    if (!gate.refused) throw new Error('Nobody was refused')
    for (const token of noted) gate.tokens.add(token)
  },
}

const tunnelKilled: Fault = {
  ...common,
  fate: { inbound: 'resets', outbound: 'resets' },
  isOutage: false,
  lastsMs: 0,
  name: 'tunnel killed',
  async strike() {
    noted = [await tunnel('{{.State.StartedAt}}')]
    await docker('kill', '--signal', 'KILL', `tpx-${CONNECTION}-tunnel`)
  },
  // The link starts it again.
  async repair() {
    const format = '{{.State.Running}} {{.State.StartedAt}}'
    const isNew = async () => {
      const state = await tunnel(format)
      return state.startsWith('true') && state !== `true ${noted[0]}`
    }
    await eventually('the tunnel to run again', isNew, 10 * SECOND)
  },
}

const NEXT_IMAGE = 'tpx-test/tunnel-upgrade:1'

/** An image that differs from the tunnel's by a label, under a name of its own. */
async function buildNextImage(): Promise<void> {
  const dockerfile = `FROM tpx/tunnel:${VERSION}\nLABEL tpx.test=upgrade-${Date.now()}\n`
  await run('docker', ['build', '--tag', NEXT_IMAGE, '-'], { env: { DOCKER_BUILDKIT: '0' }, input: dockerfile, stdin: 'pipe' })
}

const tunnelUpgraded: Fault = {
  ...common,
  fate: { inbound: 'resets', outbound: 'resets' },
  isOutage: false,
  lastsMs: 0,
  name: 'tunnel image upgraded',
  async strike({ environment }) {
    await buildNextImage()
    const words = ['connect', '--name', CONNECTION, '--namespace', NAMESPACE]
    await tpxOk(words, { env: { ...environment, TPX_TUNNEL_IMAGE: NEXT_IMAGE } })
  },
  async repair() {
    const wanted = await docker('image', 'inspect', '--format', '{{.Id}}', NEXT_IMAGE)
    const image = await tunnel('{{.Image}}')
    if (image !== wanted) throw new Error(`"tpx connect" left the tunnel of the old image (${image}) where ${wanted} was wanted`)
  },
}

const managerDeleted: Fault = {
  ...common,
  fate: { inbound: 'either', outbound: 'resets' },
  isOutage: false,
  lastsMs: 0,
  name: 'manager Pod deleted',
  async strike() {
    noted = await deletePods('ambassador', 'traffic-manager')
  },
  async repair() {
    await newPod('ambassador', 'traffic-manager', noted)
  },
}

const agentDeleted: Fault = {
  ...common,
  fate: { inbound: 'resets', outbound: 'survives' },
  isOutage: false,
  lastsMs: 0,
  name: 'agent Pod deleted',
  async strike() {
    noted = await deletePods(NAMESPACE, 'shop')
  },
  async repair() {
    await newPod(NAMESPACE, 'shop', noted)
  },
}

const bootId = async () => (await docker('inspect', '--format', '{{.State.StartedAt}}', NODES.manager)).trim()

const nodeRestarted: Fault = {
  ...common,
  fate: { inbound: 'either', outbound: 'resets' },
  isOutage: false,
  lastsMs: 0,
  name: 'node of the manager restarted',
  async strike() {
    noted = [await bootId(), ...(await podsOf('ambassador', 'traffic-manager'))]
    await docker('restart', '--time', '1', NODES.manager)
    if ((await bootId()) === noted[0]) throw new Error('The node was not restarted')
  },
  async repair() {
    // A node that is not missed long counts as Ready all the time: what tells is the kubelet's own answer about its Pods.
    await sleep(2 * SECOND)
    await eventually('the manager to be ready', async () => (await managerIsBack(), await managerAnswers()), 90 * SECOND)
  },
}

/** Whether the manager's container runs since the node's restart. */
async function managerAnswers(): Promise<boolean> {
  const words = ['kubectl', 'get', 'pods', '--namespace', 'ambassador', '--selector', 'app=traffic-manager', '--output']
  const format = 'jsonpath={.items[*].status.containerStatuses[*].state.running.startedAt}'
  const started = await run(new URL('../cluster/cluster', import.meta.url).pathname, [...words, format])
  return started !== '' && new Date(started.trim().split(' ').at(-1) ?? '').getTime() + SECOND > new Date(await bootId()).getTime()
}

const ROAM = 'tpx-test-roam'

const dockerNetworkChanged: Fault = {
  ...common,
  isOutage: false,
  lastsMs: 2 * SECOND,
  name: 'Docker network changed',
  async strike() {
    const holder = `tpx-${CONNECTION}-holder`
    const before = await docker('inspect', '--format', '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}', holder)
    await docker('network', 'create', '--label', 'tpx.test=faults', ROAM)
    for (const network of before.trim().split(' ')) await docker('network', 'disconnect', network, holder)
    const addresses = readFileSync(`/proc/${await docker('inspect', '--format', '{{.State.Pid}}', holder)}/net/dev`, 'latin1')
    if (/^\s*eth\d/m.test(addresses)) throw new Error(`The holder still has a network:\n${addresses}`)
  },
  async repair() {
    await docker('network', 'connect', ROAM, `tpx-${CONNECTION}-holder`)
  },
}

/** The rows of the matrix. */
export const FAULTS: Fault[] = [
  linkKilled,
  linkAndSupervisorKilled,
  linkFrozen,
  apiClosed,
  networkChanged,
  unauthorized,
  tunnelKilled,
  tunnelUpgraded,
  managerDeleted,
  agentDeleted,
  nodeRestarted,
  dockerNetworkChanged,
  { ...linkKilled, carrier: 'exec', name: 'link killed, exec carrier' },
  { ...apiClosed, carrier: 'exec', name: 'API port closed, then open, exec carrier' },
]

/** Ends every fault, whatever has become of its row: what is frozen or closed would keep the next one from its start. */
export async function restore({ api, gate, token }: Path): Promise<void> {
  for (const pid of linkProcesses().link) process.kill(pid, 'SIGCONT')
  gate.tokens.add(token)
  await api.open()
}

/** What a row leaves outside of its connection. */
export async function cleanUp(): Promise<void> {
  await docker('network', 'rm', ROAM).catch(() => '')
  await docker('rmi', NEXT_IMAGE).catch(() => '')
}
