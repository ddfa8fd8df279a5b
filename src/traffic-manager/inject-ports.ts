import type { Container, Pod, Service } from './kubernetes-objects.ts'
import { AGENT_API_PORT } from '../wire/versions.ts'
import type { AgentPort } from '../wire/agent-config.ts'
import { type JsonPatchOperation, pointer } from './json-patch.ts'
import { type ContainerPortAt, namedTargets, portsOf, protocolOf } from './service-ports.ts'

/** The longest name of a port (IANA_SVC_NAME, RFC 6335 §5.1). */
const MAX_NAME = 15

/** What taking the named ports of a Pod comes to. */
export type TakenPorts = {
  apiPort: number
  patch: JsonPatchOperation[]
  /** Per index of `spec.containers`. */
  ports: Map<number, AgentPort[]>
}

/**
 * Moves the names of the TCP ports that Services refer to by name to the agent: the EndpointSlice controller looks the
 * name up per Pod and follows it. The app's port keeps its number under another name.
 */
export function takePorts(pod: Pod, services: readonly Service[]): TakenPorts {
  const containers = pod.spec?.containers ?? []
  const declared = portsOf(containers)
  const wanted = namedTargets(pod.metadata?.labels, services)
  const matching = declared.filter(({ port }) => protocolOf(port) === 'TCP' && wanted.has(port.name ?? ''))
  const nextPort = freePorts(declared)
  const newName = freeNames(declared, wanted)
  const result: TakenPorts = { apiPort: nextPort(), patch: [], ports: new Map() }
  const seen = new Set<string>()
  for (const at of matching) {
    const name = String(at.port.name)
    result.patch.push(...rename(at, newName(name)))
    // Of several containers with that name only the first was ever reached by it; the others lose the name, too,
    // because app containers come before the sidecar in the look-up.
    if (seen.has(name)) continue
    seen.add(name)
    const port: AgentPort = { agentPort: nextPort(), containerPort: at.port.containerPort, name, protocol: 'TCP' }
    result.ports.set(at.containerIndex, [...(result.ports.get(at.containerIndex) ?? []), port])
  }

  return result
}

/** Numbers from AGENT_API_PORT up that no container of the Pod declares: all of them share one network namespace. */
function freePorts(declared: readonly ContainerPortAt[]): () => number {
  const used = new Set(declared.map(({ port }) => port.containerPort))
  let next = AGENT_API_PORT
  return () => {
    while (used.has(next)) next++
    return next++
  }
}

function freeNames(declared: readonly ContainerPortAt[], wanted: ReadonlySet<string>): (name: string) => string {
  const used = new Set([...wanted, ...declared.map(({ port }) => port.name ?? '')])
  return (name) => {
    for (let n = 0; ; n++) {
      const candidate = `tpx${n || ''}-${name}`.slice(0, MAX_NAME).replace(/-+$/, '')
      if (used.has(candidate)) continue
      used.add(candidate)
      return candidate
    }
  }
}

/** The new name, and the number wherever a probe or hook of that container used the old one: the kubelet looks in the container's own ports. */
function rename({ container, containerIndex, port, portIndex }: ContainerPortAt, newName: string): JsonPatchOperation[] {
  const base = pointer('spec', 'containers', containerIndex)
  const references = handlersOf(container)
    .filter(({ value }) => value === port.name)
    .map(({ path }): JsonPatchOperation => ({ op: 'replace', path: `${base}${path}`, value: port.containerPort }))
  return [{ op: 'replace', path: `${base}${pointer('ports', portIndex, 'name')}`, value: newName }, ...references]
}

/** Every place of a container that may name a port (core/v1 Probe and LifecycleHandler). */
function handlersOf(container: Container): { path: string; value: unknown }[] {
  const probes = (['livenessProbe', 'readinessProbe', 'startupProbe'] as const).map((key) => ({ handler: container[key], tokens: [key] }))
  const hooks = (['postStart', 'preStop'] as const).map((key) => ({ handler: container.lifecycle?.[key], tokens: ['lifecycle', key] }))
  return [...probes, ...hooks].flatMap(({ handler, tokens }) =>
    (['httpGet', 'tcpSocket'] as const)
      .filter((action) => handler?.[action])
      .map((action) => ({ path: pointer(...tokens, action, 'port'), value: handler?.[action]?.port })),
  )
}
