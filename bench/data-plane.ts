// node bench/data-plane.ts: what the SYN gate costs an app, beside the same peer without a tunnel. Needs Docker and the tunnel image.
// Everything shares the machine's CPUs, so compare ratios within one run.
import { docker } from '../test/helpers/docker.ts'
import { PORT } from '../test/docker/syn-gate/ports.ts'
import { startWorld, type World } from '../test/docker/syn-gate/world.ts'

const BYTES = Number(process.env['BENCH_BYTES'] ?? 1 << 30)
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3)

const median = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

/** CPU seconds that a container's main process has used, user and system. */
async function cpuSeconds(container: string): Promise<number> {
  const stat = await docker(['exec', container, 'cat', '/proc/1/stat'])
  const [, , , , , , , , , , , , user = 0, system = 0] = stat.slice(stat.lastIndexOf(')')).split(' ').map(Number)
  return (user + system) / 100
}

async function measure(world: World, address: string): Promise<Record<string, string>> {
  const up: number[] = []
  const down: number[] = []
  const cpu: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const before = await cpuSeconds(world.gate.name)
    let began = performance.now()
    await world.app('exchange', { address, checksum: false, port: PORT.sink, sendBytes: BYTES, timeoutMs: 120_000 })
    up.push(BYTES / 1e3 / (performance.now() - began))
    began = performance.now()
    await world.app('exchange', {
      address,
      checksum: false,
      halfClose: false,
      port: PORT.download,
      send: String(BYTES),
      timeoutMs: 120_000,
    })
    down.push(BYTES / 1e3 / (performance.now() - began))
    cpu.push(((await cpuSeconds(world.gate.name)) - before) / (2 * (BYTES / 1e9)))
  }
  const keepAlive = await world.app('requests', { address, connections: 16, ms: 3000, port: PORT.echo })
  const single = await world.app('requests', { address, connections: 1, ms: 2000, port: PORT.echo })
  const connect = await world.app('latency', { address, count: 1000, port: PORT.echo })
  return {
    'up MB/s': median(up).toFixed(0),
    'down MB/s': median(down).toFixed(0),
    'gate CPU s/GB': median(cpu).toFixed(2),
    'req/s 16': keepAlive.perSecond.toFixed(0),
    'p50/p99 16': `${keepAlive.p50.toFixed(2)}/${keepAlive.p99.toFixed(2)}`,
    'req/s 1': single.perSecond.toFixed(0),
    'connect p50/p99': `${connect.p50.toFixed(2)}/${connect.p99.toFixed(2)}`,
  }
}

await using world = await startWorld({ MODES: process.env['MODES'] ?? 'tproxy' })
const rows: Record<string, Record<string, string>> = {}
rows['no tunnel'] = await measure(world, await world.peer.address())
rows['tunnel'] = await measure(world, '10.96.0.10')
console.table(rows)
console.log(await world.gate.waitForLog(/^ready.*/))
