import { randomBytes } from 'node:crypto'
import type { ContainerEngine } from '../container/container-engine.ts'
import { LABEL } from '../container/labels.ts'
import { unmountWorkloadVolumes } from '../container/workload-volumes.ts'
import type { ControlClient } from '../wire/control-channel.ts'
import type { Connected } from './connect.ts'
import { listConnections } from './connection.ts'
import { disconnect } from './disconnect.ts'
import { LastingControl } from './lasting-control.ts'

/** A connection in whose network namespace something runs. `isNew`: made for this run, and ended with it. */
export type Place = { connection: string; control: ControlClient; holderId: string; isNew: boolean }

/** A connection that was just made, or found by its name. */
export function placeOf({ control, holderId, isNew, settings }: Connected): Place {
  return { connection: settings.name, control, holderId, isNew }
}

/** Labels of an app container, by which its owner finds it again, and a link what it belongs to. */
export function appLabels({ connection, isNew }: Place, owner: string, attachments: string[] = []): Record<string, string> {
  return {
    ...(attachments.length > 0 ? { [LABEL.attachments]: attachments.join(',') } : {}),
    [LABEL.connection]: connection,
    ...(isNew ? { [LABEL.endsConnection]: 'true' } : {}),
    [LABEL.owner]: owner,
    [LABEL.role]: 'app',
  }
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
  const lasting = await LastingControl.own(connection, control, { attachments, owner, quit: isNew })
  try {
    return await work(owner)
  } finally {
    for (const name of attachments) await lasting.call('leave', { name }).catch(() => {})
    if (attachments.length > 0) await unmountWorkloadVolumes(engine, owner)
    await lasting.call('link.disown', {}).catch(() => {})
    if (isNew) {
      const mine = (await listConnections(engine)).find((one) => one.settings.name === connection)
      if (mine) await disconnect(engine, mine)
    }
    lasting.close()
    control.close()
  }
}
