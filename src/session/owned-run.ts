import { randomBytes } from 'node:crypto'
import type { ContainerEngine } from '../container/container-engine.ts'
import { LABEL } from '../container/labels.ts'
import { unmountWorkloadVolumes } from '../container/workload-volumes.ts'
import type { ControlClient } from '../wire/control-channel.ts'
import { listConnections } from './connection.ts'
import { disconnect } from './disconnect.ts'

/** A connection in whose network namespace something runs. `isNew`: made for this run, and ended with it. */
export type Place = { connection: string; control: ControlClient; holderId: string; isNew: boolean }

/** Labels of an app container, by which its owner finds it again. */
export function appLabels(connection: string, owner: string): Record<string, string> {
  return { [LABEL.connection]: connection, [LABEL.owner]: owner, [LABEL.role]: 'app' }
}

/**
 * Runs `work` as the owner of what it makes, and takes that back at its end: the attachments named, volumes, the connection if it is
 * new. Should this process vanish, the link does the same: it owns the list by `link.own` for as long as the control stream is open.
 */
export async function runOwned<T>(
  options: { attachments: string[]; engine: ContainerEngine; place: Place },
  work: (owner: string) => Promise<T>,
): Promise<T> {
  const { attachments, engine, place } = options
  const { connection, control, isNew } = place
  const owner = randomBytes(4).toString('hex')
  await control.call('link.own', { attachments, owner, quit: isNew })
  try {
    return await work(owner)
  } finally {
    for (const name of attachments) await control.call('leave', { name }).catch(() => {})
    if (attachments.length > 0) await unmountWorkloadVolumes(engine, owner)
    await control.call('link.disown', {}).catch(() => {})
    if (isNew) {
      const mine = (await listConnections(engine)).find((one) => one.settings.name === connection)
      if (mine) await disconnect(engine, mine)
    }
    control.close()
  }
}
