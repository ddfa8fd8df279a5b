import type { AgentContainer } from '../wire/agent-config.ts'

/** Variables that belong to a machine, not to the app (as Telepresence leaves them out). */
const OWN_TO_MACHINE = new Set(['HOME', 'HOSTNAME', 'PATH'])

/**
 * The environment of an app container, as a developer's container gets it: what the webhook copied behind the prefix, the
 * variables by which Kubernetes names Services (the same in every container of a Pod), and two that tell where it comes from.
 * @param environment the sidecar's own
 * @param containers all app containers of the Pod; what is behind the prefix of another one is never shown
 */
export function containerEnvironment(
  container: AgentContainer,
  environment: Record<string, string>,
  containers: readonly AgentContainer[],
): Record<string, string> {
  const prefixes = [container, ...containers].map(({ environmentPrefix }) => environmentPrefix).filter((prefix) => prefix !== '')
  const common = Object.fromEntries(Object.entries(environment).filter(([name]) => !prefixes.some((prefix) => name.startsWith(prefix))))
  const { environmentPrefix: prefix } = container
  const own = Object.entries(environment)
    .filter(([name]) => prefix !== '' && name.startsWith(prefix))
    .map(([name, value]) => [name.slice(prefix.length), value] as const)
    .filter(([name]) => name !== '' && !OWN_TO_MACHINE.has(name))
  return {
    ...serviceLinks(common),
    ...Object.fromEntries(own),
    TELEPRESENCE_CONTAINER: container.name,
    TELEPRESENCE_MOUNTS: container.mounts.map(({ path }) => path).join(':'),
  }
}

/** `X_SERVICE_HOST` tells that X is a Service; its other variables are `X_SERVICE_PORT…` and `X_PORT…` (Docker's links). */
function serviceLinks(environment: Record<string, string>): Record<string, string> {
  const suffix = '_SERVICE_HOST'
  const services = Object.keys(environment)
    .filter((name) => /^[A-Z][A-Z0-9_]*_SERVICE_HOST$/.test(name))
    .map((name) => name.slice(0, -suffix.length))
  const belongs = (name: string): boolean =>
    services.some((service) => name === `${service}${suffix}` || name.startsWith(`${service}_SERVICE_PORT`) || isLink(service, name))
  return Object.fromEntries(Object.entries(environment).filter(([name]) => belongs(name)))
}

function isLink(service: string, name: string): boolean {
  return (
    name.startsWith(`${service}_PORT`) && /^(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$/.test(name.slice(service.length + '_PORT'.length))
  )
}
