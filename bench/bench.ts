// The benchmark; scripts/bench sets up what it needs and starts it. bench/README.md tells what is measured, and what came out.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, release, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { VERSION } from '../src/base/version.ts'
import { measureDelay, ROUND_TRIPS } from './delay.ts'
import { findPod, type LabPod, managerPid, type Names, newNames, setUpLab, tearDownLab, versions } from './lab.ts'
import { measureAttachment, measureDns, measurePath } from './measure.ts'
import { Metrics } from './metrics.ts'
import { openPath, PATHS, type PathName } from './paths.ts'
import { othersShare, nameServerOf } from './processes.ts'
import { report } from './report.ts'
import { interrupt, interrupted, pause, root, run } from './run.ts'

const SAMPLE_IMAGE = 'tpx-test/sample:1'
const TUNNEL_IMAGE = process.env['TPX_TUNNEL_IMAGE'] ?? `tpx/tunnel:${VERSION}`
const README = join(root, 'bench', 'README.md')

const DELAY = 'delay'

type Settings = {
  json: string | undefined
  paths: readonly PathName[]
  rounds: number
  roundTrips: number[]
  seconds: number
  write: boolean
}

function readSettings(): Settings {
  const { values } = parseArgs({
    options: {
      json: { type: 'string' },
      only: { type: 'string' },
      rounds: { default: '3', type: 'string' },
      seconds: { default: '2', type: 'string' },
      'no-write': { default: false, type: 'boolean' },
    },
  })
  const parts = values.only?.split(',') ?? [...PATHS, DELAY]
  const paths = PATHS.filter((path) => parts.includes(path))
  const strange = parts.find((part) => part !== DELAY && !paths.some((path) => path === part))
  if (strange !== undefined) throw new Error(`no such path: ${strange} (there are: ${[...PATHS, DELAY].join(', ')})`)
  const roundTrips = parts.includes(DELAY) ? ROUND_TRIPS : []
  const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)]
  if (!(Number.isInteger(rounds) && rounds >= 1 && Number.isInteger(seconds) && seconds >= 1))
    throw new Error('--rounds and --seconds are whole numbers from 1 on')
  // A short or partial run is a trial.
  const isWhole = paths.length === PATHS.length && roundTrips.length > 0 && rounds >= 3
  return { json: values.json, paths, rounds, roundTrips, seconds, write: isWhole && !values['no-write'] }
}

const say = (text: string): void => void process.stderr.write(`[${process.uptime().toFixed(0).padStart(4)}s] ${text}\n`)

type Bench = { caller: LabPod; managerPid: number; metrics: Metrics; names: Names; settings: Settings; target: LabPod }

async function measureOne(bench: Bench, name: PathName, round: number): Promise<void> {
  const { caller, metrics, names, settings, target } = bench
  const options = { metrics, seconds: settings.seconds }
  await using path = await openPath(name, { ...bench, tunnelImage: TUNNEL_IMAGE })
  await measurePath(options, name, path)
  if (path.place === undefined || name === 'direct') return
  await measureDns(options, name, { name: `target.${names.namespace}.svc.cluster.local`, pid: path.place })
  if (name === 'unix')
    await measureAttachment(options, { caller, names, path, round, sampleImage: SAMPLE_IMAGE, target, tunnelImage: TUNNEL_IMAGE })
}

async function measureRound(bench: Bench, round: number): Promise<void> {
  const { caller, metrics, names, settings } = bench
  const { paths, rounds, roundTrips, seconds } = settings
  await measureDns({ metrics, seconds }, 'pod', { name: `target.${names.namespace}.svc.cluster.local`, pid: caller.pid })
  // Another order each round, so that no path always follows the same one.
  for (const name of [...paths.slice(round % paths.length), ...paths.slice(0, round % paths.length)]) {
    say(`round ${round + 1} of ${rounds}: ${name}`)
    await noting(metrics, `${name}, round ${round + 1}`, () => measureOne(bench, name, round))
  }
  for (const roundTripMs of roundTrips) {
    say(`round ${round + 1} of ${rounds}: round trip of ${roundTripMs} ms`)
    const delay = { ...bench, seconds, tunnelImage: TUNNEL_IMAGE }
    await noting(metrics, `round trip of ${roundTripMs} ms, round ${round + 1}`, () => measureDelay(delay, roundTripMs))
  }
}

/** A part that fails is noted in the report; the others go on. */
async function noting(metrics: Metrics, what: string, measure: () => Promise<void>): Promise<void> {
  try {
    await measure()
  } catch (error) {
    interrupted.throwIfAborted()
    metrics.note(`${what}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

async function measureAll(settings: Settings, metrics: Metrics): Promise<void> {
  const names = newNames()
  await using _lab = { [Symbol.asyncDispose]: () => (say('removing what was made'), tearDownLab(names)) }
  say('setting up: a traffic-manager, a target, a caller')
  await setUpLab(names, settings.rounds)
  const bench = {
    caller: await findPod(names.namespace, 'caller'),
    managerPid: await managerPid(names),
    metrics,
    names,
    settings,
    target: await findPod(names.namespace, 'target'),
  }
  nameServerOf(bench.caller.pid)
  await pause(3000)
  for (let round = 0; round < settings.rounds; round++) await measureRound(bench, round)
}

async function factsBefore(settings: Settings): Promise<string[]> {
  const busy = await othersShare({}, () => pause(2000))
  const commit = await run('git', ['-C', root, 'describe', '--always', '--dirty'], { statuses: [0, 128] })
  const load = loadavg().map((value) => value.toFixed(1))
  if (busy > 0.2) say(`warning: something else uses ${(busy * 100).toFixed(0)} % of this machine`)
  return [
    `${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC, tpx ${VERSION} (${commit.output || 'no git'})`,
    `\`scripts/bench ${process.argv.slice(2).join(' ')}\`: ${settings.rounds} rounds, ${settings.seconds} s a measurement`,
    `${cpus().length} × ${cpus()[0]?.model ?? 'CPU'}, ${(totalmem() / 1e9).toFixed(0)} GB, Linux ${release()}; developer's side, nodes, API server and load generators share them`,
    await versions(),
    `before the start: load average ${load.join(' ')}, CPUs ${(busy * 100).toFixed(0)} % busy with other things`,
  ]
}

function writeReadme(text: string): void {
  const [begin, end] = ['<!-- bench:begin -->', '<!-- bench:end -->']
  const readme = readFileSync(README, 'utf8')
  const [head] = readme.split(begin)
  const [, tail] = readme.split(end)
  if (head === undefined || tail === undefined) throw new Error(`${README} has no markers`)
  writeFileSync(README, `${head}${begin}\n${text}\n${end}${tail}`)
}

/** State of the connections lies in a directory of the benchmark's own. */
function useOwnDirectories(): Disposable {
  const directory = mkdtempSync(join(tmpdir(), 'tpx-bench-'))
  process.env['XDG_RUNTIME_DIR'] = directory
  process.env['XDG_STATE_HOME'] = directory
  return { [Symbol.dispose]: () => rmSync(directory, { force: true, recursive: true }) }
}

async function main(): Promise<void> {
  const settings = readSettings()
  if (process.getuid?.() !== 0) throw new Error('the benchmark enters network namespaces and reads /proc of containers: run it as root')
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt)
  const metrics = new Metrics()
  const facts = await factsBefore(settings)
  using _directories = useOwnDirectories()
  await measureAll(settings, metrics)
  facts.push(`the run took ${Math.round(process.uptime())} s; load average at its end ${loadavg()[0]?.toFixed(1)}`)
  const text = report(metrics, facts)
  process.stdout.write(`${text}\n`)
  if (settings.json)
    writeFileSync(settings.json, `${JSON.stringify({ facts, notes: metrics.notes, settings, values: metrics.values }, null, 1)}\n`)
  if (settings.write) writeReadme(text)
}

try {
  await main()
} catch (error) {
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = interrupted.aborted ? 130 : 1
}
