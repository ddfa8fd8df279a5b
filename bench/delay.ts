// Bulk over a long way to the API server: a proxy in front of it holds every byte back for half the round trip, with a bounded window.
import { apiServer, KubeconfigFolder, setServer } from '../test/helpers/kubeconfig.ts'
import { TcpProxy } from '../test/helpers/tcp-proxy.ts'
import type { Names } from './lab.ts'
import { body, type Bulk, download, type Place, requests, upload } from './load.ts'
import { Metrics } from './metrics.ts'
import { openPath, type Path, type PathOptions } from './paths.ts'
import { eventually } from './run.ts'

/** Milliseconds of round trip that are measured. */
export const ROUND_TRIPS = [0, 20, 80]
/** What is compared: `two tpx` are two connections at once, i.e. what a second port-forward under one connection could give. */
export const WAYS = ['port-forward', 'tpx', 'two tpx'] as const
const WINDOW_BYTES = 4 << 20
/** The first round trips of a transfer are a start, not its speed. */
const LONGER = 2

type Way = (typeof WAYS)[number]
type Options = PathOptions & { seconds: number }

/** Key of a metric, Mbit/s for `down` and `up`, milliseconds for `p50` and `connect`. */
export function delayKey(roundTripMs: number, way: Way, what: 'connect' | 'down' | 'p50' | 'up'): string {
  return `delay/${roundTripMs}/${way}/${what}`
}

/** Measures all ways over one round trip. */
export async function measureDelay(options: Options, roundTripMs: number): Promise<void> {
  await using proxy = await TcpProxy.start({ ...apiServer(), delayMs: roundTripMs / 2, windowBytes: WINDOW_BYTES })
  using folder = new KubeconfigFolder()
  const kubeconfig = folder.kubeconfig((config) => setServer(config, `https://127.0.0.1:${proxy.port}`))
  const behind = { ...options, kubeconfig }
  await measurePortForward(behind, roundTripMs)
  await measureTpx(behind, roundTripMs)
  if (proxy.bytes.down === 0) throw new Error('nothing went through the delaying proxy')
}

async function measurePortForward(options: Options, roundTripMs: number): Promise<void> {
  await using path = await openPath('port-forward', options)
  await measureWay(options, { paths: [path], roundTripMs, way: 'port-forward' })
}

async function measureTpx(options: Options, roundTripMs: number): Promise<void> {
  await using first = await openTpx(options, roundTripMs, options.names)
  await measureWay(options, { paths: [first], roundTripMs, way: 'tpx' })
  await using second = await openTpx(options, roundTripMs, { ...options.names, connection: `${options.names.connection}-2` })
  await measureWay(options, { paths: [first, second], roundTripMs, way: 'two tpx' })
}

/** The path's own notes (its connect time) must not get among those of the undelayed ones. */
async function openTpx(options: Options, roundTripMs: number, names: Names): Promise<Path> {
  const metrics = new Metrics()
  const path = await openPath('unix', { ...options, metrics, names })
  options.metrics.add(delayKey(roundTripMs, 'tpx', 'connect'), metrics.median('unix/connect ms') ?? NaN)
  return path
}

type Measured = { paths: Path[]; roundTripMs: number; way: Way }

async function measureWay({ metrics, seconds }: Options, { paths, roundTripMs, way }: Measured): Promise<void> {
  for (const { base, place } of paths) await eventually(`an answer by ${way}`, async () => (await body(place, `${base}/hi`)) === 'hi', 10)
  const [first] = paths
  if (first && paths.length === 1) {
    const { p50Ms } = await requests(first.place, `${first.base}/hi`, { connections: 1, seconds: 1 })
    metrics.add(delayKey(roundTripMs, way, 'p50'), p50Ms)
  }
  const move = { down: download, up: upload }
  for (const direction of ['down', 'up'] as const)
    metrics.add(delayKey(roundTripMs, way, direction), await megabits(paths, seconds * LONGER, move[direction]))
}

/** All paths at the same time; what they moved together. */
async function megabits(
  paths: Path[],
  seconds: number,
  move: (place: Place, base: string, seconds: number) => Promise<Bulk>,
): Promise<number> {
  const moved = await Promise.all(paths.map(({ base, place }) => move(place, base, seconds)))
  return moved.reduce((sum, { mbPerSecond }) => sum + mbPerSecond * 8, 0)
}
