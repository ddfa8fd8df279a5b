import type { Service, ServicePort } from './kubernetes-objects.ts'
import { TpxError } from '../base/error.ts'
import type { Workload } from './cluster-access.ts'
import { type ContainerPortAt, isHeadless, portsOf, protocolOf } from './service-ports.ts'

type Obstacle = { hint: string; reason: string }
type Candidate = {
  containerPort: ContainerPortAt | undefined
  obstacle: Obstacle | undefined
  service: Service
  servicePort: ServicePort
}

/** A container port and the port of the Service that leads to it. */
export type TargetPort = {
  containerName: string
  containerPort: number
  containerPortName: string
  protocol: 'TCP'
  serviceName: string
  servicePort: number
  servicePortName: string
  serviceUid: string
}

/**
 * Chooses the port that `identifier` names among the ports of these Services, or the only one there is.
 * @throws TpxError PORT_NOT_FOUND when none or several fit; PORT_NOT_SUPPORTED when it cannot be taken over
 */
export function choosePort(workload: Workload, services: readonly Service[], identifier: string | undefined): TargetPort {
  const all = services.flatMap((service) => (service.spec?.ports ?? []).map((port) => toCandidate(workload, service, port)))
  const named = identifier ? identified(all, identifier) : all
  if (!named.length) throw notFound(workload, all, identifier)
  const groups = Map.groupBy(named, keyOf)
  const usable = [...groups.values()].map((group) => bestOf(group, workload))
  // Two Services of one container port (e.g. a headless twin) are no choice; two container ports are.
  if (usable.length > 1 && usable.some(({ obstacle }) => !obstacle)) throw ambiguous(workload, usable)
  const [{ containerPort, obstacle, service, servicePort }] = usable as [Candidate]
  if (obstacle || !containerPort) {
    throw new TpxError(
      'PORT_NOT_SUPPORTED',
      `Port ${label(servicePort)} of Service "${nameOf(service)}" cannot be taken over: ${obstacle?.reason}`,
      { hint: obstacle?.hint },
    )
  }

  return {
    containerName: containerPort.container.name,
    containerPort: containerPort.port.containerPort,
    containerPortName: containerPort.port.name ?? '',
    protocol: 'TCP',
    serviceName: nameOf(service),
    servicePort: servicePort.port,
    servicePortName: servicePort.name ?? '',
    serviceUid: service.metadata?.uid ?? '',
  }
}

/** The Service's own name or number first; then the container port's, which only then is unambiguous for the user. */
function identified(candidates: readonly Candidate[], identifier: string): Candidate[] {
  const ofService = candidates.filter(({ servicePort }) => servicePort.name === identifier || String(servicePort.port) === identifier)
  if (ofService.length) return ofService
  return candidates.filter(({ containerPort, servicePort }) => {
    const target = String(servicePort.targetPort ?? servicePort.port)
    return target === identifier || (containerPort !== undefined && String(containerPort.port.containerPort) === identifier)
  })
}

function toCandidate(workload: Workload, service: Service, servicePort: ServicePort): Candidate {
  const target = servicePort.targetPort ?? servicePort.port
  const declared = portsOf(workload.template.spec?.containers ?? [])
  const containerPort = declared.find(
    ({ port }) =>
      protocolOf(port) === protocolOf(servicePort) && (typeof target === 'string' ? port.name === target : port.containerPort === target),
  )
  return { containerPort, obstacle: obstacleFor({ containerPort, service, servicePort, target, workload }), service, servicePort }
}

function obstacleFor(context: {
  containerPort: ContainerPortAt | undefined
  service: Service
  servicePort: ServicePort
  target: number | string
  workload: Workload
}): Obstacle | undefined {
  const { containerPort, service, servicePort, target, workload } = context
  if (protocolOf(servicePort) !== 'TCP')
    return { reason: `it is a ${protocolOf(servicePort)} port`, hint: 'This version takes over TCP ports only' }
  if (isHeadless(service)) {
    return {
      reason: 'the Service is headless, so its clients connect to the Pods past it',
      hint: 'Let the clients use a Service with a cluster IP, and name that one with --service',
    }
  }

  if (typeof target === 'number') return numericTarget(context, target)
  if (containerPort) return undefined
  return {
    reason: `no container of ${workload.kind} "${workload.name}" declares a TCP port of the name "${target}"`,
    hint: `Name the port in the Pod template: ports: [{name: ${target}, containerPort: ...}]`,
  }
}

function numericTarget(
  {
    containerPort,
    service,
    servicePort,
    workload,
  }: { containerPort: ContainerPortAt | undefined; service: Service; servicePort: ServicePort; workload: Workload },
  target: number,
): Obstacle {
  const name = containerPort?.port.name
  const index = service.spec?.ports?.indexOf(servicePort) ?? 0
  const patch = JSON.stringify([{ op: 'replace', path: `/spec/ports/${index}/targetPort`, value: name ?? 'NAME' }])
  const command = `kubectl -n ${workload.namespace} patch service ${nameOf(service)} --type=json -p '${patch}'`
  return {
    reason: `its targetPort is the number ${target}, and this version can take over a port by its name only`,
    hint: name
      ? `Let the Service use the name, which changes nothing for its clients: ${command}`
      : `Give container port ${target} a name in the Pod template, then let the Service use it: ${command}`,
  }
}

/** What is one port for the user: the container port, or else what the Service says. */
function keyOf({ containerPort, servicePort }: Candidate): string {
  const target = servicePort.targetPort ?? servicePort.port
  return containerPort
    ? `${containerPort.containerIndex} ${containerPort.port.containerPort} ${protocolOf(servicePort)}`
    : `${target} ${protocolOf(servicePort)}`
}

/** Of several Services of one container port: one that works, best the workload's namesake, else the first by name. */
function bestOf(candidates: readonly Candidate[], workload: Workload): Candidate {
  const rank = ({ obstacle, service }: Candidate): number => (obstacle ? 2 : 0) + (nameOf(service) === workload.name ? 0 : 1)
  return candidates.toSorted((a, b) => rank(a) - rank(b) || nameOf(a.service).localeCompare(nameOf(b.service)))[0] as Candidate
}

function notFound(workload: Workload, all: readonly Candidate[], identifier: string | undefined): TpxError {
  const services = [...new Set(all.map(({ service }) => `"${nameOf(service)}"`))].join(', ')
  const message = identifier
    ? `No port "${identifier}" leads to ${workload.kind} "${workload.name}"${services ? ` through Service ${services}` : ''}`
    : `The Services of ${workload.kind} "${workload.name}" have no ports`
  return new TpxError('PORT_NOT_FOUND', message, { hint: choices(all) })
}

function ambiguous(workload: Workload, candidates: readonly Candidate[]): TpxError {
  return new TpxError('PORT_NOT_FOUND', `Several ports lead to ${workload.kind} "${workload.name}": choose one`, {
    hint: choices(candidates),
  })
}

/** The ports that would work; where none does, why not. */
function choices(candidates: readonly Candidate[]): string | undefined {
  const working = candidates.filter(({ obstacle }) => !obstacle)
  const texts = [...new Set(working.map(({ service, servicePort }) => `${label(servicePort)} of Service "${nameOf(service)}"`))]
  if (texts.length) return `Ports that can be taken over: ${texts.join(', ')}`
  const [first] = candidates
  return first?.obstacle && `None of its ports can be taken over: ${first.obstacle.reason}. ${first.obstacle.hint}`
}

function label({ name, port }: ServicePort): string {
  return name ? `"${name}" (${port})` : `"${port}"`
}

function nameOf({ metadata }: Service): string {
  return metadata?.name ?? ''
}
