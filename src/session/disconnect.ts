import { rmSync } from 'node:fs'
import type { ContainerEngine } from '../container/container-engine.ts'
import { LABEL } from '../container/labels.ts'
import { unmountWorkloadVolumes } from '../container/workload-volumes.ts'
import type { Connection } from './connection.ts'
import { openControl } from './link-process.ts'
import { runtimeDir } from './runtime-dir.ts'

const QUIT_MS = 2000

/**
 * Ends a connection: departs the session (which leaves its attachments), ends the link, removes containers and volumes.
 * Works on what is left of a connection, too, and is safe to repeat.
 */
export async function disconnect(engine: ContainerEngine, { containers, settings }: Connection): Promise<void> {
  const control = await openControl(settings.name)
  if (control) {
    // A session that cannot be departed ends in the cluster by the owner's absence; a link that hangs, with its holder.
    await atMost(QUIT_MS, control.call('quit', {}))
    await atMost(QUIT_MS, control.call('link.quit', {}))
    control.close()
  }
  await removeLeftovers(engine, settings.name, containers)
  rmSync(runtimeDir(settings.name), { force: true, recursive: true })
}

async function atMost(ms: number, work: Promise<unknown>): Promise<void> {
  await Promise.race([work, new Promise((resolve) => setTimeout(resolve, ms).unref())]).catch(() => {})
}

async function removeLeftovers(engine: ContainerEngine, connection: string, containers: Connection['containers']): Promise<void> {
  const ofRole = (role: string) => containers.filter(({ labels }) => labels[LABEL.role] === role)
  await Promise.all(ofRole('app').map(({ id }) => engine.removeContainer(id)))
  const volumes = await engine.listVolumes({ [LABEL.connection]: connection })
  const owners = new Set([...ofRole('mount'), ...volumes].map(({ labels }) => labels[LABEL.owner]).filter((owner) => owner !== undefined))
  await Promise.all([...owners].map((owner) => unmountWorkloadVolumes(engine, owner)))
  await Promise.all([...ofRole('tunnel'), ...ofRole('holder')].map(({ id }) => engine.removeContainer(id)))
}
