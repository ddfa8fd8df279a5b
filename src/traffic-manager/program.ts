import type { KubeConfig } from '@kubernetes/client-node'
import type { Logger } from '../base/logger.ts'
import { MANAGER_SERVICE } from '../wire/versions.ts'
import { serveWebhook } from './admission-webhook.ts'
import { agentAuthenticator } from './agent-authenticator.ts'
import { AgentInjector } from './agent-injector.ts'
import { listenForAgents } from './agent-listener.ts'
import { loadCertificates, patchWebhookCaBundle } from './certificates.ts'
import { listenForClients } from './client-listener.ts'
import { ClientConfigSource } from './client-config-source.ts'
import { ClusterApi } from './cluster-api.ts'
import { namespaceUid, workloadOfPod } from './cluster-identity.ts'
import { ClusterInfoSource } from './cluster-info.ts'
import { checkDestination, dialerWith } from '../outbound/dialer.ts'
import { dnsClient } from './dns-client.ts'
import { injectorAdapter } from './injector-adapter.ts'
import { KubernetesApi } from './kubernetes-api.ts'
import type { ManagerPorts } from './manager-ports.ts'
import { NameLookup } from './name-lookup.ts'
import type { Settings } from './settings.ts'
import { State } from './state.ts'
import { TunnelRelay } from './tunnel-relay.ts'
import { webhookScope } from './webhook-scope.ts'
import { WorkloadWatches } from './workload-watch.ts'

/** How often silent sessions are looked for. */
const EXPIRY_MS = 2_000

/** A running traffic-manager. */
export type Program = { close(): Promise<void> }

type Parts = { cluster: ClusterApi; kubernetes: KubernetesApi; logger: Logger; settings: Settings }

/**
 * Starts everything; the webhook's /healthz last, so that it means ready.
 * @throws TpxError CHART_INVALID, KUBERNETES_*
 */
export async function startProgram(settings: Settings, kubeConfig: KubeConfig, logger: Logger): Promise<Program> {
  const parts: Parts = { cluster: new ClusterApi(kubeConfig), kubernetes: new KubernetesApi(kubeConfig), logger, settings }
  const { cluster, kubernetes } = parts
  const certificates = await loadCertificates({ namespace: settings.namespace, secrets: cluster })
  const injector = new AgentInjector({ agent: agentSettings(settings, certificates.ca), cluster, logger })
  const { close, ports } = await makePorts(parts, injector)
  const expiry = setInterval(() => logExpired(ports.state.expire(), logger), EXPIRY_MS)

  const access = { authenticate: agentAuthenticator(kubernetes), workloadOfPod: workloadOfPod(kubernetes, cluster) }
  const agentAddress = settings.podIp.includes(':') ? '[::]' : '0.0.0.0'
  const agents = await listenForAgents(ports, access, { address: agentAddress, certificate: certificates, port: settings.agentApiPort })
  const clients = await listenForClients(ports, { address: '127.0.0.1', port: settings.apiPort })
  const onPod = injector.onPod.bind(injector)
  const webhook = await serveWebhook({ certificates, logger, onPod, port: settings.webhookPort })
  const hasWebhook = await patchWebhookCaBundle({ ca: certificates.ca, namespace: settings.namespace, webhooks: cluster })
  logger.info({ agentPort: agents.port, clientPort: clients.port, hasWebhook, namespace: settings.namespace }, 'Traffic-manager started')

  return {
    async close() {
      webhook.close()
      clearInterval(expiry)
      await clients.close()
      await agents.close()
      close()
    },
  }
}

function agentSettings(settings: Settings, managerCa: string) {
  return {
    image: settings.agentImage,
    resources: settings.agentResources,
    imagePullPolicy: settings.agentImagePullPolicy,
    logLevel: settings.agentLogLevel,
    managerCa,
    managerHost: `${MANAGER_SERVICE}.${settings.namespace}.svc`,
    managerPort: settings.agentApiPort,
  }
}

async function makePorts({ cluster, kubernetes, logger, settings }: Parts, injector: AgentInjector) {
  const state = new State()
  const clientConfig = new ClientConfigSource(kubernetes, settings.namespace, logger)
  const clusterInfo = new ClusterInfoSource(settings, clientConfig, { kubernetes, logger })
  const ports: ManagerPorts = {
    agentImage: settings.agentImage,
    clientConfig,
    clusterInfo,
    dialer: dialerWith(checkDestination),
    injector: injectorAdapter(injector, {
      checkScope: webhookScope({ kubernetes, managerNamespace: settings.namespace, webhooks: cluster }),
      cluster,
      state,
    }),
    logger,
    managerInstallId: (await namespaceUid(kubernetes, settings.namespace)) ?? '',
    names: new NameLookup({ clusterDomain: settings.clusterDomain, resolve: dnsClient(settings.nameservers) }),
    // A manager that may not read namespaces lets the client find out by itself.
    namespaceExists: (namespace) =>
      namespaceUid(kubernetes, namespace).then(
        (uid) => uid !== undefined,
        () => true,
      ),
    relay: new TunnelRelay(),
    state,
    workloads: new WorkloadWatches(kubernetes, logger),
  }
  const close = (): void => {
    clusterInfo.close()
    clientConfig.close()
  }
  return { close, ports }
}

function logExpired({ agents, clients }: ReturnType<State['expire']>, logger: Logger): void {
  for (const { info } of agents) logger.info({ namespace: info.namespace, pod: info.podName }, 'Agent was silent for too long')
  for (const { info } of clients) logger.info({ client: info.name }, 'Client was silent for too long')
}
