// What programs use, read from /proc of this machine: the nodes of the test cluster are containers here, so all are seen.
import { readdirSync, readFileSync } from 'node:fs'

const TICKS_PER_SECOND = 100 // USER_HZ, the same on every Linux that Node runs on

/** Processes that carry a path. Machine-wide ones (dockerd, containerd, API server, kubelet) are always watched. */
export type Watched = { connection?: string; pids?: Record<number, string>; tunnelId?: string }

type Process = { args: string[]; cgroup: string; comm: string; pid: number }

/** CPU seconds of each watched process since it began, and its role. */
export type Usage = Map<number, { role: string; seconds: number }>

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return '' // the process has ended
  }
}

function processes(): Process[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => ({
      args: read(`/proc/${name}/cmdline`).split('\0'),
      cgroup: read(`/proc/${name}/cgroup`),
      comm: read(`/proc/${name}/comm`).trim(),
      pid: Number(name),
    }))
}

const isLinkOf = ({ args }: Process, connection: string): boolean =>
  args[0] !== '/bin/sh' && args.some((word) => word.endsWith('link.cjs')) && args.includes(`--connection=${connection}`)

function roleInEngine({ args, cgroup, comm }: Process, tunnelId: string | undefined): string | undefined {
  if (comm === 'dockerd') return 'dockerd'
  if (tunnelId && cgroup.includes(tunnelId)) return comm === 'socat' ? 'exec bridge (socat)' : 'tunnel'
  if (comm.startsWith('containerd-shim')) return tunnelId && args.includes(tunnelId) ? 'containerd-shim' : undefined
  if (comm === 'containerd') return /docker\/[0-9a-f]{20}/.test(cgroup) ? 'containerd of the nodes' : 'containerd'
  if (comm === 'kube' && args[1] === 'kube-apiserver') return 'kube-apiserver'
  return comm === 'kube' && args[1] === 'kubelet' ? 'kubelets' : undefined
}

function roleOf(process: Process, { connection, pids, tunnelId }: Watched): string | undefined {
  const known = pids?.[process.pid]
  if (known) return known
  if (connection && isLinkOf(process, connection)) return 'link'
  return roleInEngine(process, tunnelId)
}

/** Reads what the watched processes have used so far. */
export function usage(watched: Watched): Usage {
  const all: Usage = new Map()
  for (const process of processes()) {
    const role = roleOf(process, watched)
    const stat = role ? read(`/proc/${process.pid}/stat`) : ''
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (role && stat) all.set(process.pid, { role, seconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND })
  }
  return all
}

/** CPU seconds of each role between two readings. */
export function usedBetween(before: Usage, after: Usage): Record<string, number> {
  const used: Record<string, number> = {}
  for (const [pid, { role, seconds }] of after) used[role] = (used[role] ?? 0) + seconds - (before.get(pid)?.seconds ?? 0)
  return used
}

/** The link's process of a connection. */
export function linkPid(connection: string): number {
  const found = processes().find((one) => isLinkOf(one, connection))
  if (!found) throw new Error(`connection "${connection}" has no link`)
  return found.pid
}

/** A process of a Pod of the test cluster, by a word of its command line. */
export function pidInPod(pod: string, word: string): number {
  const found = processes().find(
    ({ args, pid }) => args.some((arg) => arg.includes(word)) && read(`/proc/${pid}/environ`).split('\0').includes(`HOSTNAME=${pod}`),
  )
  if (!found) throw new Error(`Pod "${pod}" has no process "${word}" on this machine`)
  return found.pid
}

/** Resident memory of a process, in MB: all of it, and what is its own alone (not files, such as Node's binary). */
export function memoryMb(pid: number): { anon: number; rss: number } {
  const status = read(`/proc/${pid}/status`)
  const field = (name: string): number => (Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]) * 1024) / 1e6
  return { anon: field('RssAnon'), rss: field('VmRSS') }
}

/** The first name server that a process sees. */
export function nameServerOf(pid: number): string {
  const server = /^nameserver\s+(\S+)/m.exec(read(`/proc/${pid}/root/etc/resolv.conf`))?.[1]
  if (!server) throw new Error(`process ${pid} has no name server`)
  return server
}

/** CPU seconds of the whole machine, without interrupts but with what a hypervisor kept ("steal"); and all it could have used. */
function machine(): { available: number; used: number } {
  const [user = 0, nice = 0, system = 0, ...rest] = (/^cpu +(.*)$/m.exec(read('/proc/stat'))?.[1] ?? '').split(' ').map(Number)
  const used = user + nice + system + (rest[4] ?? 0)
  return { available: (used + rest.slice(0, 4).reduce((a, b) => a + b, 0)) / TICKS_PER_SECOND, used: used / TICKS_PER_SECOND }
}

/** CPU seconds of this process and of the generators that it has waited for. */
function own(): number {
  const stat = read('/proc/self/stat')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0) / TICKS_PER_SECOND
}

/**
 * The share of this machine's CPUs, 0 to 1, that went to others during a call: neither to watched processes nor to the load
 * generators, or were kept by the hypervisor. Figures that were taken beside others' work are worse than they need be.
 */
export async function othersShare(watched: Watched, during: () => Promise<void>): Promise<number> {
  const sum = (used: Record<string, number>): number => Object.values(used).reduce((a, b) => a + b, 0)
  const [machineBefore, before, ownBefore] = [machine(), usage(watched), own()]
  await during()
  const machineAfter = machine()
  const ours = sum(usedBetween(before, usage(watched))) + own() - ownBefore
  return Math.max(0, machineAfter.used - machineBefore.used - ours) / (machineAfter.available - machineBefore.available)
}
