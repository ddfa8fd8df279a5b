// What every row of the matrix stands on: workloads, a traffic-manager on a node of its own, and a connection with loads.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { runtimeRoot } from '../../src/session/runtime-dir.ts'
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

type Status = { connections: { containers: { name: string }[]; link?: { pid: number }; settings: { name: string }; state: string }[] }

/** The process of the connection's link. */
export async function linkPid(): Promise<number> {
  const { json } = await tpxOk(['status', '--output', 'json'])
  const pid = (json as Status).connections.find(({ settings }) => settings.name === CONNECTION)?.link?.pid
  if (!pid) throw new Error('The connection has no link')
  return pid
}

/** One letter of /proc/PID/stat (R, S, T, Z …), or undefined where there is no such process. */
export function processState(pid: number): string | undefined {
  try {
    return / \) ?([A-Z]) /.exec(readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/\(.*\)/, ' ) '))?.[1]
  } catch {
    return undefined
  }
}

/** Name of the tunnel container, and an inspected value of it. */
export function tunnel(format: string): Promise<string> {
  return docker('inspect', '--format', format, `tpx-${CONNECTION}-tunnel`)
}

/** What a connection left after `tpx quit`, as text; empty when nothing is left. */
export async function remains(links: number[]): Promise<string> {
  const processes = links.filter((pid) => ![undefined, 'Z'].includes(processState(pid))).map((pid) => `process ${pid}`)
  const directory = join(runtimeRoot(), CONNECTION)
  return [await leftovers(), ...processes, existsSync(directory) ? directory : ''].filter(Boolean).join('\n')
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
