// The paths that are compared: each gives a place to run load generators and an address of the same Pod.
import { docker, kubectlBinary, pause, run, startInBackground, tpx } from './run.ts'
import { type LabPod, type Names, PORT } from './lab.ts'
import type { Place } from './load.ts'
import type { Metrics } from './metrics.ts'
import { linkPid, memoryMb, type Watched } from './processes.ts'

export const PATHS = ['direct', 'port-forward', 'unix', 'exec'] as const
export type PathName = (typeof PATHS)[number]

/** A path that stands until the end of the scope. `programs`: the processes whose memory counts. */
export type Path = AsyncDisposable & { base: string; place: Place; programs: Record<string, number>; watched: Watched }

/** What a path is made with. `kubeconfig`: another one than KUBECONFIG names. */
export type PathOptions = {
  kubeconfig?: string
  managerPid: number
  metrics: Metrics
  names: Names
  target: LabPod
  tunnelImage: string
}

const kubeconfigWords = ({ kubeconfig }: PathOptions): string[] => (kubeconfig === undefined ? [] : ['--kubeconfig', kubeconfig])

const NODES_NETWORK = 'tpx-test'
const SETTLE_MS = 2000

/** Container beside the nodes, with a route to the Pod through its node. A new one each time, so that no port waits in TIME_WAIT. */
async function direct({ names, target, tunnelImage }: PathOptions): Promise<Path> {
  const name = `tpx-bench-${names.id}-direct`
  const dispose = async (): Promise<void> => void (await docker(['rm', '--force', name], { always: true, statuses: [0, 1] }))
  try {
    await docker(['run', '--detach', '--name', name, '--network', NODES_NETWORK, '--entrypoint', 'sleep', tunnelImage, '600'])
    const place = Number(await docker(['inspect', '--format', '{{.State.Pid}}', name]))
    await run('nsenter', [`--net=/proc/${place}/ns/net`, '--', 'ip', 'route', 'add', target.podAddress, 'via', target.hostAddress])
    return {
      base: `http://${target.podAddress}:${PORT.number}`,
      place,
      programs: {},
      watched: { pids: { [target.pid]: 'app' } },
      [Symbol.asyncDispose]: dispose,
    }
  } catch (error) {
    await dispose()
    throw error
  }
}

async function portForward(options: PathOptions): Promise<Path> {
  const { names, target } = options
  const what = ['--namespace', names.namespace, `pod/${target.name}`, `:${PORT.number}`]
  const words = ['port-forward', '--address', '127.0.0.1', ...kubeconfigWords(options), ...what]
  const forward = await startInBackground(await kubectlBinary(), words, /Forwarding from 127\.0\.0\.1:(\d+)/)
  return {
    base: `http://127.0.0.1:${forward.line[1]}`,
    place: undefined,
    programs: { kubectl: forward.pid },
    watched: { pids: { [forward.pid]: 'kubectl', [target.pid]: 'app' } },
    [Symbol.asyncDispose]: () => forward[Symbol.asyncDispose](),
  }
}

/** Ends a connection, whatever state it is in. */
export async function quit(connection: string): Promise<void> {
  await tpx(['quit', '--use', connection], { always: true, statuses: [0, 1, 2, 3, 4, 5, 6] })
  const left = await docker(['ps', '--all', '--quiet', '--filter', `label=dev.tpx.connection=${connection}`], { always: true })
  if (left) await docker(['rm', '--force', '--volumes', ...left.split('\n')], { always: true, statuses: [0, 1] })
}

/** Words that name the lab's connection to `tpx connect` and `tpx docker-run`. */
export function connectionWords({ connection, managerNamespace, namespace }: Names): string[] {
  return ['--name', connection, '--manager-namespace', managerNamespace, '--namespace', namespace]
}

async function connection(carrier: 'exec' | 'unix', options: PathOptions): Promise<Path> {
  const { managerPid, metrics, names, target } = options
  const dispose = (): Promise<void> => quit(names.connection)
  try {
    const { ms } = await tpx(['connect', '--carrier', carrier, '--output', 'json', ...kubeconfigWords(options), ...connectionWords(names)])
    metrics.add(`${carrier}/connect ms`, ms)
    const inspect = async (role: string, format: string): Promise<string> =>
      (await docker(['inspect', '--format', format, `tpx-${names.connection}-${role}`])).trim()
    const programs = {
      link: linkPid(names.connection),
      manager: managerPid,
      tunnel: Number(await inspect('tunnel', '{{.State.Pid}}')),
    }
    await pause(SETTLE_MS)
    return {
      base: `http://${target.podAddress}:${PORT.number}`,
      place: Number(await inspect('holder', '{{.State.Pid}}')),
      programs,
      watched: {
        connection: names.connection,
        pids: { [managerPid]: 'manager', [target.pid]: 'app' },
        tunnelId: await inspect('tunnel', '{{.Id}}'),
      },
      [Symbol.asyncDispose]: dispose,
    }
  } catch (error) {
    await dispose()
    throw error
  }
}

/** Sets a path up. */
export function openPath(name: PathName, options: PathOptions): Promise<Path> {
  switch (name) {
    case 'direct':
      return direct(options)
    case 'port-forward':
      return portForward(options)
    case 'unix':
    case 'exec':
      return connection(name, options)
  }
}

/** Notes the resident memory of a path's programs. */
export function addMemory(metrics: Metrics, prefix: string, programs: Record<string, number>): void {
  for (const [program, pid] of Object.entries(programs)) {
    const { anon, rss } = memoryMb(pid)
    metrics.add(`${prefix}/${program} rss`, rss)
    metrics.add(`${prefix}/${program} anon`, anon)
  }
}
