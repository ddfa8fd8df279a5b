// Looks for given values wherever a container could hold them.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { docker, run } from './tpx.ts'

/** Where a value was found: container, place in it, and the value's name. */
export type Found = { container: string; name: string; place: 'cmdline' | 'environ' | 'file system' | 'inspect' | 'logs' | 'mount' }

/** File systems that belong to the kernel, and the root, which `docker export` shows. */
const KERNEL = /^(?:cgroup2?|devpts|mqueue|overlay|proc|sysfs)$/

/**
 * Searches all containers with the label for seeded values: `docker inspect`, `docker logs`, environment and command line of every
 * process, the whole file system, and what is mounted. Needs root on the engine's machine.
 * @param secrets name -> value; at least 8 characters, one line each
 */
export async function findSecrets(label: string, secrets: Record<string, string>): Promise<{ containers: string[]; found: Found[] }> {
  const directory = mkdtempSync(join(tmpdir(), 'tpx-search-'))
  const patterns = join(directory, 'patterns')
  writeFileSync(patterns, Object.values(secrets).join('\n'))
  try {
    const names = (await docker('ps', '--all', '--filter', `label=${label}`, '--format', '{{.Names}}')).split('\n').filter(Boolean)
    const found: Found[] = []
    for (const container of names) {
      const tell = (place: Found['place'], text: string): void => {
        for (const [name, value] of Object.entries(secrets)) if (text.includes(value)) found.push({ container, name, place })
      }
      tell('inspect', await docker('inspect', container))
      tell('logs', await shell(`docker logs ${container} 2>&1`))
      const pids = (await docker('top', container, '-eo', 'pid'))
        .split('\n')
        .slice(1)
        .map((pid) => pid.trim())
      for (const pid of pids) {
        tell('environ', readProcess(pid, 'environ'))
        tell('cmdline', readProcess(pid, 'cmdline'))
      }
      tell('file system', await shell(`docker export ${container} | grep -aoFf ${patterns} | sort -u`))
      const mounts = mountPoints(pids[0] ?? '').map((path) => `'/proc/${pids[0]}/root${path}'`)
      if (mounts.length) tell('mount', await shell(`grep -raohFf ${patterns} -D skip ${mounts.join(' ')} 2>/dev/null | sort -u`))
    }
    return { containers: names, found }
  } finally {
    rmSync(directory, { recursive: true })
  }
}

const shell = (command: string): Promise<string> => run('sh', ['-c', command], { reject: false })

function readProcess(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1')
  } catch {
    return '' // it has ended
  }
}

/** What is mounted below the root: volumes, binds, tmpfs. */
function mountPoints(pid: string): string[] {
  // proc(5): "… mount-point options … - type source …"
  return readProcess(pid, 'mountinfo')
    .split('\n')
    .map((line) => line.split(' '))
    .filter((words) => words.length > 6 && !KERNEL.test(words[words.indexOf('-') + 1] ?? ''))
    .map((words) => words[4] ?? '')
    .filter((path) => path !== '/' && !/^\/(?:dev|proc|sys)(?:\/|$)/.test(path))
}
