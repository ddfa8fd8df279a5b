import type { Workload } from '../../src/traffic-manager/cluster-access.ts'
import type { AgentSettings } from '../../src/traffic-manager/inject.ts'
import type { Container, Pod, PodSpec, Service } from '../../src/traffic-manager/kubernetes-objects.ts'

/** Settings of the agents in tests. */
export const AGENT: AgentSettings = {
  image: 'tpx/traffic:1',
  imagePullPolicy: 'Never',
  logLevel: 'info',
  managerCa: '-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n',
  managerHost: 'traffic-manager.ambassador.svc',
  managerPort: 8082,
}

/** A container `web` with the port http = 8080. */
export function aContainer(changes: Partial<Container> = {}): Container {
  return { name: 'web', image: 'web:1', ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }], ...changes }
}

/** A Pod of Deployment web-app as the API server shows it to a webhook. */
export function aPod(spec: Partial<PodSpec> = {}, metadata: Pod['metadata'] = {}): Pod {
  return {
    metadata: {
      generateName: 'web-app-5c58b5b7c5-',
      labels: { app: 'web-app', 'pod-template-hash': '5c58b5b7c5' },
      ownerReferences: [{ apiVersion: 'apps/v1', controller: true, kind: 'ReplicaSet', name: 'web-app-5c58b5b7c5', uid: 'rs-uid' }],
      ...metadata,
    },
    spec: { containers: [aContainer()], ...spec },
  }
}

/** A Service that selects app=<name>. */
export function aService(name: string, ports: NonNullable<Service['spec']>['ports'], changes: NonNullable<Service['spec']> = {}): Service {
  return {
    metadata: { name, namespace: 'shop', uid: `${name}-uid` },
    spec: { clusterIP: '10.96.0.7', ports: ports ?? [], selector: { app: 'web-app' }, type: 'ClusterIP', ...changes },
  }
}

/** Service web-app, port 80 to the port name http. */
export function webService(): Service {
  return aService('web-app', [{ name: 'http', port: 80, protocol: 'TCP', targetPort: 'http' }])
}

/** Deployment web-app in namespace shop. */
export function aWorkload(changes: Partial<Workload> = {}): Workload {
  return {
    isPaused: false,
    kind: 'Deployment',
    name: 'web-app',
    namespace: 'shop',
    owner: undefined,
    podSelector: 'app=web-app',
    replicas: 1,
    rollsItself: true,
    template: { metadata: { labels: { app: 'web-app' } }, spec: { containers: [aContainer()] } },
    uid: 'web-app-uid',
    ...changes,
  }
}
