import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf, TpxError } from '../base/error.ts'
import type { Attachment } from '../wire/control.ts'
import type { ContainerEngine, ContainerSpec } from './container-engine.ts'
import { imageOfConnection } from './image.ts'
import { LABEL } from './labels.ts'

/** A volume of the workload that is mounted live (sshfs) and can be named by app containers. */
export type WorkloadVolume = { name: string; path: string; readOnly: boolean }

/** What a mount container needs: mounting inside the engine's volume directories and FUSE; never the whole of root. */
const PRIVILEGE = {
  CapAdd: ['SYS_ADMIN', 'DAC_OVERRIDE'],
  CapDrop: ['ALL'],
  SecurityOpt: ['apparmor=unconfined', 'label=disable', 'no-new-privileges'],
}
const READY_MS = 10_000

const parentOf = (mountpoint: string): string => mountpoint.replace(/\/_data\/?$/, '')
const clean = (directories: string[]): string => directories.map((d) => `while umount -l ${d}/_data 2>/dev/null; do :; done`).join('; ')

/** Volume names are stable per owner and path, so that a repeated run meets its own leftovers. */
function volumeName(connection: string, owner: string, path: string): string {
  return `tpx-${connection}-${createHash('sha256').update(`${owner} ${path}`).digest('hex').slice(0, 12)}`
}

/**
 * One sshfs per volume, in one container. Each mount lands in the engine's own directory of a named volume, bound rshared,
 * so that it appears in every container that names the volume; the `/ref` binds keep the volumes in use, because
 * `docker volume rm` over a live mount would delete the files of the cluster. A mount is proven when it shows up behind
 * such a `/ref`, which sees what an app container sees.
 */
function mountSpec(options: {
  attachment: Attachment
  connection: string
  holderId: string
  image: string
  owner: string
  volumes: (WorkloadVolume & { mountpoint: string })[]
}): ContainerSpec {
  const { attachment, connection, holderId, image, owner, volumes } = options
  const mounts = volumes.map(({ path, readOnly }, i) => {
    const words = `directport=${attachment.sftpPort},allow_other,no_contain_symlinks,reconnect,fsname=tpx,subtype=tpx${readOnly ? ',ro' : ''}`
    return `sshfs -f -o ${words} '127.0.0.1:${path.replaceAll("'", `'\\''`)}' /v/${i}/_data &`
  })
  const places = volumes.map((_, i) => `/v/${i}`)
  const proven = volumes.map((_, i) => `until grep -q ' /ref/${i} fuse' /proc/mounts; do sleep 0.02; done`).join('; ')
  const script = `trap '${clean(places)}; exit 0' TERM INT; ${clean(places)}; ${mounts.join(' ')} (${proven}; echo proven) & wait; ${clean(places)}`
  return {
    name: `tpx-${connection}-mount-${owner}`,
    Cmd: ['sh', '-c', script],
    Entrypoint: [],
    HostConfig: {
      ...PRIVILEGE,
      Binds: volumes.flatMap(({ mountpoint, name }, i) => [`${parentOf(mountpoint)}:/v/${i}:rshared`, `${name}:/ref/${i}:ro`]),
      Devices: [{ CgroupPermissions: 'rwm', PathInContainer: '/dev/fuse', PathOnHost: '/dev/fuse' }],
      Memory: 256 << 20,
      NetworkMode: `container:${holderId}`,
      PidsLimit: 256,
      ReadonlyRootfs: true,
      Tmpfs: { '/tmp': 'rw,nosuid,nodev,size=1m' },
    },
    Image: image,
    Labels: { [LABEL.connection]: connection, [LABEL.owner]: owner, [LABEL.role]: 'mount' },
    StopTimeout: 2,
  }
}

async function waitProven(engine: ContainerEngine, id: string): Promise<void> {
  for (const end = performance.now() + READY_MS; performance.now() < end; await sleep(20)) {
    const logs = await engine.logs(id, 20)
    if (/^proven$/m.test(logs)) return
    const { State } = await engine.inspect(id)
    if (!State.Running)
      throw new TpxError('MOUNT_FAILED', `The mount container ended with status ${State.ExitCode}: ${logs.trim().split('\n').at(-1) ?? ''}`)
  }
  throw new TpxError('MOUNT_FAILED', `The volumes did not appear within ${READY_MS / 1000} s: ${(await engine.logs(id, 5)).trim()}`, {
    hint: 'Try again with --mount=false, and report what "docker info" says',
  })
}

/**
 * Mounts the workload's volumes and answers the named volumes to use. What it made before a failure is removed again.
 * @throws TpxError MOUNT_FAILED
 */
export async function mountWorkloadVolumes(
  engine: ContainerEngine,
  options: { attachment: Attachment; connection: string; holderId: string; owner: string; skipPaths: Set<string> },
): Promise<WorkloadVolume[]> {
  const wanted = options.attachment.mounts.filter(({ path }) => !options.skipPaths.has(path))
  if (wanted.length === 0) return []
  const labels = { [LABEL.connection]: options.connection, [LABEL.owner]: options.owner, [LABEL.role]: 'volume' }
  try {
    const volumes = await Promise.all(
      wanted.map(async ({ path, readOnly }) => {
        const name = volumeName(options.connection, options.owner, path)
        const { mountpoint } = await engine.createVolume(name, labels)
        return { mountpoint, name, path, readOnly }
      }),
    )
    const image = await imageOfConnection(engine, options.connection)
    const id = await engine.createContainer(mountSpec({ ...options, image, volumes }))
    await engine.startContainer(id)
    await waitProven(engine, id)
    return volumes.map(({ name, path, readOnly }) => ({ name, path, readOnly }))
  } catch (error) {
    await unmountWorkloadVolumes(engine, options.owner)
    throw error instanceof TpxError
      ? error
      : new TpxError('MOUNT_FAILED', `Cannot mount the workload's volumes: ${messageOf(error)}`, {
          cause: error,
          hint: 'Run again with --mount=false to do without volumes',
        })
  }
}

/** Takes the volumes of an owner back: mount container, what is still mounted, then the volumes. Safe to repeat. */
export async function unmountWorkloadVolumes(engine: ContainerEngine, owner: string): Promise<void> {
  const mine = { [LABEL.owner]: owner }
  const containers = await engine.listContainers({ ...mine, [LABEL.role]: 'mount' })
  await Promise.all(containers.map(({ id }) => engine.stopContainer(id, 2)))
  await Promise.all(containers.map(({ id }) => engine.removeContainer(id)))
  const volumes = await engine.listVolumes({ ...mine, [LABEL.role]: 'volume' })
  if (volumes.length === 0) return
  // A killed mount container leaves a dead FUSE mount in the engine's namespace, over which no volume can be removed.
  if (containers.length === 0 || containers.some(({ state }) => state !== 'running')) await cleanVolumes(engine, volumes)
  await Promise.all(volumes.map(({ name }) => engine.removeVolume(name)))
}

async function cleanVolumes(
  engine: ContainerEngine,
  volumes: { labels: Record<string, string>; mountpoint: string; name: string }[],
): Promise<void> {
  await engine.runToEnd({
    name: `tpx-clean-${volumes[0]?.name ?? ''}`,
    Cmd: ['sh', '-c', clean(volumes.map((_, i) => `/v/${i}`))],
    Entrypoint: [],
    HostConfig: {
      ...PRIVILEGE,
      Binds: volumes.map(({ mountpoint }, i) => `${parentOf(mountpoint)}:/v/${i}:rshared`),
      NetworkMode: 'none',
      ReadonlyRootfs: true,
    },
    Image: await imageOfConnection(engine, volumes[0]?.labels[LABEL.connection] ?? ''),
    Labels: { [LABEL.role]: 'mount' },
  })
}
