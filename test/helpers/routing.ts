import type { ErrorRecord } from '../../src/base/error.ts'
import type { RoutingStatus } from '../../src/wire/control.ts'
import { docker, kubectl, tpxOk } from './tpx.ts'

/** What `tpx status` says about a connection's routes. */
export async function routingOf(connection: string): Promise<RoutingStatus> {
  const { json } = await tpxOk(['status', '--output', 'json'])
  const { connections } = json as {
    connections: { error?: ErrorRecord; settings: { name: string }; tunnel?: { routing: RoutingStatus } }[]
  }
  const found = connections.find(({ settings }) => settings.name === connection)
  if (!found?.tunnel) throw new Error(`No status of "${connection}": ${JSON.stringify(found?.error)}`)
  return found.tunnel.routing
}

/** The device that an address leads to in the connection's network namespace, e.g. "tpx0" or "eth0"; "unreachable" where none does. */
export async function deviceOf(connection: string, address: string): Promise<string> {
  const route = await docker('exec', `tpx-${connection}-tunnel`, 'ip', 'route', 'get', address).catch((error: unknown) => String(error))
  return / dev (\S+)/.exec(route)?.[1] ?? 'unreachable'
}

/** The address of the first Pod of an app of the sample. */
export async function podAddress(app: string, namespace = 'default'): Promise<string> {
  const text = await kubectl(
    'get',
    'pods',
    '--namespace',
    namespace,
    '--selector',
    app.includes('=') ? app : `app=${app}`,
    '--field-selector',
    'status.phase=Running',
    '--output',
    'jsonpath={.items[*].status.podIP}',
  )
  return text.trim().split(' ').at(-1) ?? ''
}

/** The virtual IP of a Service of the sample. */
export async function serviceAddress(name: string): Promise<string> {
  return (await kubectl('get', 'service', name, '--output', 'jsonpath={.spec.clusterIP}')).trim()
}
