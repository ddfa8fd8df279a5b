import { asTpxError, type ErrorRecord } from '../base/error.ts'
import type { ConnectionSettings } from '../container/holder-container.ts'
import { LABEL } from '../container/labels.ts'
import type { Attachment, LinkStatus, TunnelStatus } from '../wire/control.ts'
import { type Connection, type EngineSource, listConnections, restartLink } from './connection.ts'
import { openControl } from './link-process.ts'

/** An attachment without what must not be shown. */
export type ShownAttachment = Omit<Attachment, 'environment'> & { environmentNames: string[] }

/** What `tpx status` says of a connection. */
export type ConnectionStatus = {
  containers: { name: string; role: string; state: string }[]
  error?: ErrorRecord
  link?: LinkStatus
  settings: ConnectionSettings
  state: 'connected' | 'degraded'
  tunnel?: Omit<TunnelStatus, 'attachments'> & { attachments: ShownAttachment[] }
}

/** Values of the environment are secrets: only the names are shown. */
export function withoutSecrets({ environment, ...rest }: Attachment): ShownAttachment {
  return { ...rest, environmentNames: Object.keys(environment).sort() }
}

async function statusOf(connection: Connection, root: string): Promise<ConnectionStatus> {
  const { settings } = connection
  const containers = connection.containers.map(({ labels, name, state }) => ({ name, role: labels[LABEL.role] ?? '', state }))
  try {
    const control = (await openControl(settings.name)) ?? (await restartLink(connection, root))
    const [link, tunnel] = await Promise.all([control.call('link.status', {}), control.call('status', {})])
    control.close()
    const isUp = link.api.state === 'up' && tunnel.manager.state === 'up'
    return {
      containers,
      link,
      settings,
      state: isUp ? 'connected' : 'degraded',
      tunnel: { ...tunnel, attachments: tunnel.attachments.map(withoutSecrets) },
    }
  } catch (error) {
    return { containers, error: asTpxError(error).toRecord(), settings, state: 'degraded' }
  }
}

/** The state of all connections; a dead link is started again on the way. */
export async function status(engine: EngineSource, root: string): Promise<ConnectionStatus[]> {
  const connections = await listConnections(await engine())
  return Promise.all(connections.map((connection) => statusOf(connection, root)))
}
