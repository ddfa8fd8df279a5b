import { CARRIER_DIR } from '../wire/carrier.ts'
import type { ClientConfig } from '../wire/client-config.ts'
import type { ContainerSpec } from './container-engine.ts'
import { type ConnectionSettings, connectionLabels } from './holder-container.ts'

/** Name of a connection's tunnel container. */
export function tunnelName(connection: string): string {
  return `tpx-${connection}-tunnel`
}

/** What the tunnel is told, besides the connection's settings. */
export type TunnelOptions = {
  /** Host directory of the unix carrier's socket. */
  carrierDir: string
  clientConfig: ClientConfig
  clientName: string
  clusterDomain: string
  /** Name servers that the tunnel may ask itself: "ip" or "ip:port". */
  fallbackNameservers: string[]
  holderId: string
  image: string
  installId: string
  logLevel: string
}

/**
 * The container that puts the cluster into the holder's namespace. NET_ADMIN and /dev/net/tun are all it gets: no
 * credential, no docker.sock, nothing of the host's files but the carrier's socket directory.
 */
export function tunnelSpec(settings: ConnectionSettings, options: TunnelOptions): ContainerSpec {
  const isUnix = settings.carrier === 'unix'
  return {
    name: tunnelName(settings.name),
    Env: [
      `TPX_CARRIER=${settings.carrier}`,
      `TPX_CLIENT_CONFIG=${JSON.stringify(options.clientConfig)}`,
      `TPX_CLIENT_NAME=${options.clientName}`,
      `TPX_CLUSTER_DOMAIN=${options.clusterDomain}`,
      `TPX_CONNECTION=${settings.name}`,
      `TPX_FALLBACK_NAMESERVERS=${options.fallbackNameservers.join(',')}`,
      `TPX_INSTALL_ID=${options.installId}`,
      `TPX_LOG_LEVEL=${options.logLevel}`,
      `TPX_MANAGER_NAMESPACE=${settings.managerNamespace}`,
      `TPX_NAMESPACE=${settings.namespace}`,
    ],
    HostConfig: {
      ...(isUnix ? { Binds: [`${options.carrierDir}:${CARRIER_DIR}`] } : {}),
      CapAdd: ['NET_ADMIN'],
      CapDrop: ['ALL'],
      Devices: [{ CgroupPermissions: 'rwm', PathInContainer: '/dev/net/tun', PathOnHost: '/dev/net/tun' }],
      Memory: 512 << 20,
      NetworkMode: `container:${options.holderId}`,
      PidsLimit: 256,
      ReadonlyRootfs: true,
      SecurityOpt: ['no-new-privileges'],
      Tmpfs: { '/tmp': 'rw,nosuid,nodev,size=16m', ...(isUnix ? {} : { [CARRIER_DIR]: 'rw,nosuid,nodev,size=1m' }) },
    },
    Image: options.image,
    Labels: connectionLabels(settings, 'tunnel'),
  }
}
