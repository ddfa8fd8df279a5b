import { VERSION } from '../base/version.ts'
import { podSearchList } from '../dns/resolv-conf.ts'
import type { ContainerSpec } from './container-engine.ts'
import { LABEL } from './labels.ts'

/** Whom the connection acts as in the cluster: kubectl's --as, --as-group and --as-uid. */
export type Impersonation = { as?: string; asGroups?: string[]; asUid?: string }

/** What makes a connection: the settings that its containers are labelled with, so that a dead link can be started again. No secret may ever be among them. */
export type ConnectionSettings = {
  carrier: 'exec' | 'unix'
  context: string
  impersonate: Impersonation
  /** Absolute paths, joined as in $KUBECONFIG. */
  kubeconfig: string
  /** How much the link logs. */
  linkLogLevel: string
  managerNamespace: string
  name: string
  namespace: string
}

/** What `docker run` flags ask of the owner of the network namespace (Engine API names). */
export type HolderNetwork = {
  /** Further names of the holder on `network`. */
  aliases?: string[]
  exposedPorts?: Record<string, object>
  extraHosts?: string[]
  hostname?: string
  /** Name of a user-defined network. */
  network?: string
  portBindings?: Record<string, { HostIp?: string; HostPort?: string }[]>
}

/** Address of the tunnel's DNS server in the namespace: the TUN device's own, from 198.18.0.0/15 (RFC 2544). */
export const DNS_ADDRESS = '198.18.0.1'

// PID 1 gets no default signal action: without a trap, stopping would take the whole grace time.
const IDLE = ['sh', '-c', 'trap "exit 0" TERM INT; while :; do sleep 3600 & wait $!; done']

/** Labels of everything that belongs to a connection. */
export function connectionLabels(settings: ConnectionSettings, role: string): Record<string, string> {
  return {
    [LABEL.carrier]: settings.carrier,
    [LABEL.connection]: settings.name,
    [LABEL.context]: settings.context,
    ...(Object.keys(settings.impersonate).length ? { [LABEL.impersonate]: JSON.stringify(settings.impersonate) } : {}),
    [LABEL.kubeconfig]: settings.kubeconfig,
    [LABEL.linkLogLevel]: settings.linkLogLevel,
    [LABEL.managerNamespace]: settings.managerNamespace,
    [LABEL.namespace]: settings.namespace,
    [LABEL.role]: role,
    [LABEL.version]: VERSION,
  }
}

/** Name of the container that owns a connection's network namespace. */
export function holderName(connection: string): string {
  return `tpx-${connection}-holder`
}

/**
 * The container that owns the network namespace and does nothing else, so that it never has to restart (every container
 * that joined it would be left with only `lo`). It carries what Docker refuses on joining containers.
 */
export function holderSpec(
  settings: ConnectionSettings,
  options: { clusterDomain: string; image: string; network: HolderNetwork },
): ContainerSpec {
  const { clusterDomain, image, network } = options
  return {
    name: holderName(settings.name),
    Cmd: IDLE,
    Entrypoint: [],
    ...(network.exposedPorts ? { ExposedPorts: network.exposedPorts } : {}),
    ...(network.hostname ? { Hostname: network.hostname } : {}),
    HostConfig: {
      CapDrop: ['ALL'],
      Dns: [DNS_ADDRESS],
      DnsOptions: ['ndots:5'],
      DnsSearch: podSearchList(settings.namespace, clusterDomain),
      ...(network.extraHosts ? { ExtraHosts: network.extraHosts } : {}),
      Memory: 32 << 20,
      ...(network.network ? { NetworkMode: network.network } : {}),
      PidsLimit: 16,
      ...(network.portBindings ? { PortBindings: network.portBindings } : {}),
      ReadonlyRootfs: true,
      SecurityOpt: ['no-new-privileges'],
      // Docker turns IPv6 off on a network without it; the tunnel's port 53 needs no capability when ports start at 0.
      Sysctls: { 'net.ipv4.ip_unprivileged_port_start': '0', 'net.ipv6.conf.all.disable_ipv6': '0' },
    },
    Image: image,
    Labels: connectionLabels(settings, 'holder'),
    ...(network.network && network.aliases
      ? { NetworkingConfig: { EndpointsConfig: { [network.network]: { Aliases: network.aliases } } } }
      : {}),
    User: '65534:65534',
  }
}
