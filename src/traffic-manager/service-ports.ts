// How Services lead to container ports: the rules of the EndpointSlice controller (k8s.io/endpointslice utils.go FindPort).
import type { Container, ContainerPort, Service, ServicePort } from './kubernetes-objects.ts'

/** The Services whose selector matches these labels. A Service without selector leads to no Pod by itself. */
export function servicesFor(labels: Record<string, string> | undefined, services: readonly Service[]): Service[] {
  return services.filter(({ spec }) => {
    const selector = Object.entries(spec?.selector ?? {})
    return spec?.type !== 'ExternalName' && selector.length > 0 && selector.every(([key, value]) => labels?.[key] === value)
  })
}

/** Clients of a headless Service connect to the Pod's address and mostly to the app's own port, past any named port. */
export function isHeadless(service: Service): boolean {
  return service.spec?.clusterIP === 'None'
}

/** Service ports and container ports without protocol are TCP (core/v1). */
export function protocolOf({ protocol }: ContainerPort | ServicePort): string {
  return protocol ?? 'TCP'
}

/** A port of a container and where both are found in `spec.containers`. */
export type ContainerPortAt = { container: Container; containerIndex: number; port: ContainerPort; portIndex: number }

/** Every declared port of the app containers, in the order in which Kubernetes looks for a name. */
export function portsOf(containers: readonly Container[]): ContainerPortAt[] {
  return containers.flatMap((container, containerIndex) =>
    (container.ports ?? []).map((port, portIndex) => ({ container, containerIndex, port, portIndex })),
  )
}

/** The names by which Services with a cluster IP refer to TCP ports of a Pod with these labels. */
export function namedTargets(labels: Record<string, string> | undefined, services: readonly Service[]): Set<string> {
  const names = servicesFor(labels, services)
    .filter((service) => !isHeadless(service))
    .flatMap(({ spec }) => spec?.ports ?? [])
    .filter((port) => protocolOf(port) === 'TCP' && typeof port.targetPort === 'string')
    .map(({ targetPort }) => String(targetPort))
  return new Set(names)
}
