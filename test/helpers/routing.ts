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

type Pods = { items: { metadata: { creationTimestamp: string; deletionTimestamp?: string }; status: { phase: string; podIP?: string } }[] }

/** The address of the newest Pod of an app of the sample, or of another label; one that is about to end does not count. */
export async function podAddress(app: string, namespace = 'default'): Promise<string> {
  const selector = app.includes('=') ? app : `app=${app}`
  const { items } = JSON.parse(await kubectl('get', 'pods', '--namespace', namespace, '--selector', selector, '--output', 'json')) as Pods
  const running = items.filter(({ metadata, status }) => !metadata.deletionTimestamp && status.phase === 'Running' && status.podIP)
  const newest = running.toSorted((a, b) => a.metadata.creationTimestamp.localeCompare(b.metadata.creationTimestamp)).at(-1)
  if (!newest?.status.podIP) throw new Error(`No running Pod with ${selector} in ${namespace}`)
  return newest.status.podIP
}

/** The virtual IP of a Service of the sample. */
export async function serviceAddress(name: string): Promise<string> {
  return (await kubectl('get', 'service', name, '--output', 'jsonpath={.spec.clusterIP}')).trim()
}
