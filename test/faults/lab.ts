// What every row of the matrix stands on: workloads, a traffic-manager on a node of its own, and a connection with loads.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { runtimeDir } from '../../src/session/runtime-dir.ts'
import { ensureManager, leftovers } from '../helpers/cluster.ts'
import { docker, eventually, kubectl, tpx, tpxOk } from '../helpers/tpx.ts'

export const CONNECTION = 'faults'
export const NAMESPACE = 'tpx-faults'
/** The node whose Pods are the lab's, and that of the traffic-manager. */
export const NODES = { lab: 'tpx-test-control-plane', manager: 'tpx-test-worker' }
const MANAGER_NAMESPACE = 'ambassador'

/** Applies the workloads and puts the traffic-manager onto the other node. */
export async function setUpLab(): Promise<void> {
  await ensureManager()
  const nodeSelector = { 'kubernetes.io/hostname': NODES.manager }
  const patch = JSON.stringify({ spec: { template: { spec: { nodeSelector } } } })
  await kubectl('patch', 'deployment', 'traffic-manager', '--namespace', MANAGER_NAMESPACE, '--patch', patch)
  await kubectl('apply', '--filename', new URL('lab.yaml', import.meta.url).pathname)
  await managerIsBack()
  for (const name of ['far', 'web', 'shop', 'caller']) await rollout(NAMESPACE, name)
}

export async function tearDownLab(): Promise<void> {
  await kubectl('delete', 'namespace', NAMESPACE, '--ignore-not-found', '--timeout', '60s')
}

async function rollout(namespace: string, name: string): Promise<void> {
  await kubectl('rollout', 'status', `deployment/${name}`, '--namespace', namespace, '--timeout', '90s')
}

/** Waits until the one Pod of the traffic-manager is ready. */
export function managerIsBack(): Promise<void> {
  return rollout(MANAGER_NAMESPACE, 'traffic-manager')
}

type PodList = { items: { metadata: { deletionTimestamp?: string; name: string }; status: { containerStatuses?: { ready: boolean }[] } }[] }

/** Names of the Pods of a Deployment that are not being deleted; `ready`: and that are ready. */
export async function podsOf(namespace: string, app: string, options: { ready?: boolean } = {}): Promise<string[]> {
  const label = `app=${app}`
  const { items } = JSON.parse(await kubectl('get', 'pods', '--namespace', namespace, '--selector', label, '--output', 'json')) as PodList
  return items
    .filter(({ metadata, status }) => {
      const isReady = status.containerStatuses?.every(({ ready }) => ready) ?? false
      return !metadata.deletionTimestamp && (isReady || !options.ready)
    })
    .map(({ metadata }) => metadata.name)
}

/** Deletes the Pods of a Deployment and waits for none. */
export async function deletePods(namespace: string, app: string): Promise<string[]> {
  const names = await podsOf(namespace, app)
  if (!names.length) throw new Error(`${app} in ${namespace} has no Pod`)
  await kubectl('delete', 'pod', ...names, '--namespace', namespace, '--wait=false')
  return names
}

/** Waits for a ready Pod that was not there before. */
export async function newPod(namespace: string, app: string, before: string[]): Promise<void> {
  const isNew = async () => (await podsOf(namespace, app, { ready: true })).some((name) => !before.includes(name))
  await eventually(`a new Pod of ${app}`, isNew, 60_000)
}

/** Processes of the connection's link: the link itself, and the shell that starts it again. */
export function linkProcesses(): { link: number[]; supervisor: number[] } {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => ({ pid: Number(pid), words: read(`/proc/${pid}/cmdline`).split('\0') }))
    .filter(({ words }) => words.includes(`--runtime-dir=${runtimeDir(CONNECTION)}`))
  const isShell = ({ words }: { words: string[] }): boolean => words.includes('-c')
  const pids = (of: typeof all): number[] => of.map(({ pid }) => pid)
  return { link: pids(all.filter((one) => !isShell(one))), supervisor: pids(all.filter(isShell)) }
}

/** The one process of the link. */
export function linkPid(): number {
  const { link } = linkProcesses()
  if (link.length !== 1 || !link[0]) throw new Error(`The connection has ${link.length} links: ${link.join()}`)
  return link[0]
}

/** One letter of /proc/PID/stat (R, S, T, Z …), or undefined where there is no such process. */
export function processState(pid: number): string | undefined {
  return /^ ([A-Z]) /.exec(read(`/proc/${pid}/stat`).split(')').at(-1) ?? '')?.[1]
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return '' // the process has ended
  }
}

/** Name of the tunnel container, and an inspected value of it. */
export function tunnel(format: string): Promise<string> {
  return docker('inspect', '--format', format, `tpx-${CONNECTION}-tunnel`)
}

/** What a connection left after `tpx quit`, as text; empty when nothing is left. */
export async function remains(): Promise<string> {
  // A link that was asked to end answers first.
  await eventually('the link to end', async () => Object.values(linkProcesses()).flat().length === 0, 3000).catch(() => {})
  const directory = runtimeDir(CONNECTION)
  const processes = Object.values(linkProcesses()).flat()
  return [await leftovers(), processes.length ? `link processes ${processes.join()}` : '', existsSync(directory) ? directory : '']
    .filter(Boolean)
    .join('\n')
}

/** What the cluster still holds of clients that have gone: attachments, as the traffic-manager lists them to a new client. */
export async function clusterRemains(environment: Record<string, string> = {}): Promise<string> {
  const name = `${CONNECTION}-look`
  await tpxOk(['connect', '--name', name, '--namespace', NAMESPACE], { env: environment })
  try {
    const { json } = await tpxOk(['list', '--use', name, '--output', 'json'])
    const held = (json as { agent: string; clients: string[]; name: string }[]).filter(
      ({ agent, clients }) => agent === 'intercepted' || clients.length,
    )
    return held.map(({ clients, name }) => `${name}: ${clients.join()}`).join('\n')
  } finally {
    await tpx(['quit', '--use', name])
  }
}
