// What is measured on each path, and on an attachment.
import { attachedName, findPod, type LabPod, type Names, PORT } from './lab.ts'
import { body, type Bulk, dnsLatency, download, type Place, requests, upload } from './load.ts'
import type { Metrics } from './metrics.ts'
import { addMemory, connectionWords, type Path } from './paths.ts'
import { nameServerOf, othersShare, pidInPod, usage, usedBetween, type Watched } from './processes.ts'
import { docker, eventually, interrupted, run, tpx } from './run.ts'

/** How long and into what. */
export type MeasureOptions = { metrics: Metrics; seconds: number }

const DNS_QUESTIONS = 300
const BESIDES = 3 // attachments and docker-runs of each round

async function attempt(metrics: Metrics, what: string, measure: () => Promise<void>): Promise<void> {
  try {
    await measure()
  } catch (error) {
    interrupted.throwIfAborted()
    metrics.note(`${what}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

async function addRequests(
  { metrics, seconds }: MeasureOptions,
  prefix: string,
  load: { close?: boolean; connections: number; place: Place; url: string },
): Promise<void> {
  await attempt(metrics, prefix, async () => {
    const { errors, p50Ms, p99Ms, perSecond } = await requests(load.place, load.url, { ...load, seconds })
    if (errors) metrics.note(`${prefix}: wrk saw ${errors}`)
    metrics.add(`${prefix} requests/s`, perSecond)
    metrics.add(`${prefix} p50 ms`, p50Ms)
    metrics.add(`${prefix} p99 ms`, p99Ms)
  })
}

async function addBulk({ metrics }: MeasureOptions, prefix: string, watched: Watched, move: () => Promise<Bulk>): Promise<void> {
  await attempt(metrics, prefix, async () => {
    const before = usage(watched)
    const { bytes, mbPerSecond } = await move()
    const used = usedBetween(before, usage(watched))
    metrics.add(`${prefix} MB/s`, mbPerSecond)
    for (const [role, seconds] of Object.entries(used)) metrics.add(`cpu/${prefix}/${role}`, seconds / (bytes / 1e9))
  })
}

/** The lines of the comparison on one path. */
export async function measurePath(options: MeasureOptions, name: string, path: Path): Promise<void> {
  const { metrics, seconds } = options
  const { base, place, programs, watched } = path
  await eventually(`an answer on path ${name}`, async () => (await body(place, `${base}/hi`)) === 'hi', 10)
  addMemory(metrics, `memory idle/${name}`, programs)
  const load = { place, url: `${base}/hi` }
  const others = await othersShare(watched, async () => {
    await addRequests(options, `${name}/1 connection`, { ...load, connections: 1 })
    await addRequests(options, `${name}/32 connections`, { ...load, connections: 32 })
    await addRequests(options, `${name}/new connections`, { ...load, close: true, connections: 8 })
    await addBulk(options, `${name}/down`, watched, () => download(place, base, seconds))
    await addBulk(options, `${name}/up`, watched, () => upload(place, base, seconds))
  })
  metrics.add(`${name}/others %`, others * 100)
  addMemory(metrics, `memory loaded/${name}`, programs)
}

/** DNS from a network namespace, with the name server that a process in it sees. */
export async function measureDns({ metrics }: MeasureOptions, prefix: string, options: { name: string; pid: number }): Promise<void> {
  const { name, pid } = options
  for (const fresh of [false, true])
    await attempt(metrics, `${prefix}/DNS`, async () => {
      const { p50Ms, p99Ms } = await dnsLatency(pid, { count: DNS_QUESTIONS, fresh, name, server: nameServerOf(pid) })
      metrics.add(`${prefix}/DNS ${fresh ? 'new name' : 'same name'} p50 ms`, p50Ms)
      metrics.add(`${prefix}/DNS ${fresh ? 'new name' : 'same name'} p99 ms`, p99Ms)
    })
}

/** What the measurements of an attachment work with. */
export type AttachmentLab = {
  caller: LabPod
  names: Names
  path: Path
  round: number
  target: LabPod
  sampleImage: string
  tunnelImage: string
}

async function timedTpx(metrics: Metrics, key: string, words: string[]): Promise<void> {
  const { ms } = await tpx(words)
  metrics.add(key, ms)
}

async function answerFrom(who: RegExp, { caller }: AttachmentLab, address: string): Promise<void> {
  await eventually(`an answer from ${who}`, async () => who.test(await body(caller.pid, `http://${address}/`)), 10)
}

/** Requests and bulk from the caller Pod to a Service. */
async function loadService(
  options: MeasureOptions,
  prefix: string,
  lab: AttachmentLab,
  to: { address: string; brief?: boolean; watched: Watched },
): Promise<void> {
  const load = { place: lab.caller.pid, url: `http://${to.address}/hi` }
  await addRequests(options, `${prefix}/1 connection`, { ...load, connections: 1 })
  await addRequests(options, `${prefix}/32 connections`, { ...load, connections: 32 })
  if (to.brief) return
  await addRequests(options, `${prefix}/new connections`, { ...load, close: true, connections: 8 })
  await addBulk(options, `${prefix}/down`, to.watched, () => download(lab.caller.pid, `http://${to.address}`, options.seconds))
  await addBulk(options, `${prefix}/up`, to.watched, () => upload(lab.caller.pid, `http://${to.address}`, options.seconds))
}

async function measureDockerRun({ metrics }: MeasureOptions, lab: AttachmentLab): Promise<void> {
  const { names, round, tunnelImage } = lab
  const command = ['--rm', '--entrypoint', 'sh', tunnelImage, '-c', ':']
  for (let n = 0; n < BESIDES; n++)
    await attempt(metrics, 'docker-run', async () => {
      const plain = await run('docker', ['run', ...command])
      const wrapped = await tpx([
        'docker-run',
        ...connectionWords(names),
        '--intercept',
        `${attachedName(round)}:8089:${PORT.name}`,
        '--',
        ...command,
      ])
      metrics.add('command/docker run ms', plain.ms)
      metrics.add('command/tpx docker-run ms', wrapped.ms)
      metrics.add('command/docker-run overhead ms', wrapped.ms - plain.ms)
    })
}

/** Attach and leave, `docker-run`, and the way of a request from a Pod to the developer's container. */
export async function measureAttachment(options: MeasureOptions, lab: AttachmentLab): Promise<void> {
  const { metrics } = options
  const { names, path, round, sampleImage, target } = lab
  const workload = attachedName(round)
  const use = ['--use', names.connection, '--output', 'json']
  const intercept = ['intercept', workload, '--port', `8088:${PORT.name}`, ...use]
  const app = `tpx-bench-${names.id}-app`
  const holder = `container:tpx-${names.connection}-holder`
  await using _app = { [Symbol.asyncDispose]: () => removeContainer(app) }
  await docker(['run', '--detach', '--name', app, '--network', holder, '--env', 'NAME=developer', '--env', 'PORT=8088', sampleImage])

  await loadService(options, 'intercept/real Pod', lab, { address: target.serviceAddress, watched: { pids: { [target.pid]: 'app' } } })
  await timedTpx(metrics, 'command/(tpx --version, the CLI alone) ms', ['--version'])
  await timedTpx(metrics, 'command/attach, agent absent ms', intercept)
  const pod = await findPod(names.namespace, workload, { agent: true })
  const agentPid = pidInPod(pod.name, 'traffic.cjs')
  const agent = { agent: agentPid }
  addMemory(metrics, 'memory idle/unix', agent)
  await answerFrom(/NAME=developer/, lab, pod.serviceAddress)
  await timedTpx(metrics, 'command/leave ms', ['leave', workload, ...use])
  for (let n = 0; n < BESIDES; n++) {
    await timedTpx(metrics, 'command/attach, agent present ms', intercept)
    await timedTpx(metrics, 'command/leave ms', ['leave', workload, ...use])
  }
  await measureDockerRun(options, lab)
  await answerFrom(/in-cluster/, lab, pod.serviceAddress)
  const watched = { ...path.watched, pids: { ...path.watched.pids, [agentPid]: 'agent' } }
  await loadService(options, 'intercept/agent to app', lab, { address: pod.serviceAddress, brief: true, watched })
  await tpx(intercept)
  await answerFrom(/NAME=developer/, lab, pod.serviceAddress)
  await loadService(options, 'intercept/developer', lab, { address: pod.serviceAddress, watched })
  addMemory(metrics, 'memory loaded/unix', agent)
  addMemory(metrics, 'memory intercepting/unix', { ...path.programs, ...agent })
  await tpx(['leave', workload, ...use])
}

async function removeContainer(name: string): Promise<void> {
  await docker(['rm', '--force', name], { always: true, statuses: [0, 1] })
}
