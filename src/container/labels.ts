// Docker labels are the only registry of what tpx made: no state file can disagree with the engine.

/** What a container or volume is for. */
export type Role = 'app' | 'holder' | 'mount' | 'tunnel' | 'volume'

/** Label keys. */
export const LABEL = {
  /** On an app container: names of the attachments that end with it, separated by commas. */
  attachments: 'dev.tpx.attachments',
  carrier: 'dev.tpx.carrier',
  connection: 'dev.tpx.connection',
  context: 'dev.tpx.context',
  /** On an app container: "true" if the connection was made for it. */
  endsConnection: 'dev.tpx.ends-connection',
  /** JSON of {@link Impersonation}. */
  impersonate: 'dev.tpx.impersonate',
  kubeconfig: 'dev.tpx.kubeconfig',
  linkLogLevel: 'dev.tpx.link-log-level',
  managerNamespace: 'dev.tpx.manager-namespace',
  namespace: 'dev.tpx.namespace',
  /** Id of the `docker-run` that made it; the link removes it when that process is gone. */
  owner: 'dev.tpx.owner',
  role: 'dev.tpx.role',
  version: 'dev.tpx.version',
} as const

/** A filter for the Engine API's list calls: every pair must match; a null value asks for the key only. */
export function labelFilter(labels: Record<string, string | null>): { label: string[] } {
  return { label: Object.entries(labels).map(([key, value]) => (value === null ? key : `${key}=${value}`)) }
}
