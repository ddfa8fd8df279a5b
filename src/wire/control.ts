// Requests to the tunnel: CLI --JSON lines--> control socket of the link --JSON lines--> tunnel, and answers back.
// Methods that begin with "link." are answered by the link itself.
import type { ErrorRecord } from '../base/error.ts'
import type { ClientConfig } from './client-config.ts'
import type { Choice, Variables } from './link-environment.ts'

/** One request; `id` is unique on its stream. */
export type ControlRequest = { id: number; method: string; params: unknown }
/** One answer. `progress` may come any number of times before `result` or `error`: what is being waited for, in words. */
export type ControlReply = { id: number; progress: string } | { id: number; result: unknown } | { error: ErrorRecord; id: number }

/** How a leg of the connection is: its state and, unless it is up, why. */
export type Leg = { detail?: string; state: 'connecting' | 'down' | 'up' }

/** One leg of the way between an app and the cluster, as `tpx status` shows it. */
export type StatusLeg = {
  /** Why it is not up, in words. */
  detail?: string
  /** What tpx does about it. */
  doing?: string
  /** Milliseconds since something last came back over it. */
  lastProvenMs?: number
  /** `engine`, `link`, `tunnel`, `api`, `manager`, `data`, `network`, `agents of ATTACHMENT`. */
  name: string
  /** What the user can do about it. */
  next?: string
  roundTripMs?: number
  /** Since when it is in this state, ISO 8601. */
  since?: string
  /** `unknown`: what knows it does not answer. */
  state: Leg['state'] | 'unknown'
}

/** How names are resolved in the connection. */
export type DnsStatus = {
  /** Of the DNS server, as containers of the connection reach it. */
  address: string
  clusterDomain: string
  excludeSuffixes: string[]
  includeSuffixes: string[]
  /** Of resolv.conf(5). */
  search: string[]
}

/** Answer of `connect` and part of `status`: what the session with the traffic-manager came to. */
export type SessionStatus = {
  clusterDomain: string
  managerName: string
  managerVersion: string
  /** CIDRs that lead to the cluster. */
  podSubnets: string[]
  serviceSubnets: string[]
}

/** How the volumes of an attachment are served to the mount container. */
export type RemoteMount = { path: string; readOnly: boolean }

/** One attachment, as this connection sees it. */
export type Attachment = {
  container: string
  containerPort: number
  /** Environment of the workload's container. Secret: shown on request only, never logged. */
  environment: Record<string, string>
  /** Names of the environment's variables, sorted; also where the environment is left out. */
  environmentNames: string[]
  kind: 'intercept'
  /** Port in the connection's network namespace at which the workload's traffic arrives. */
  localPort: number
  mounts: RemoteMount[]
  name: string
  namespace: string
  podIp: string
  serviceName: string
  servicePort: number
  servicePortName: string
  /** TCP port on 127.0.0.1 of the connection's network namespace where the SFTP protocol (no SSH) of this attachment is served. */
  sftpPort: number
  state: 'active' | 'error' | 'waiting'
  workload: string
  workloadKind: string
}

/** A network that a container or the developer's host reaches by itself. */
export type HostNetwork = { cidr: string; /** For people, e.g. the interface's name. */ name: string }

/** What the link knows about its host that decides about routes. */
export type HostFacts = {
  /** Addresses of the API server, none of them loopback. */
  apiAddresses: string[]
  /** Networks of the host, its VPNs included, without those of the Docker Engine; empty where the engine runs on another machine. */
  networks: HostNetwork[]
}

/** A subnet of the cluster that something else uses, too. */
export type RoutingConflict = {
  /** The cluster's subnet. */
  cidr: string
  network: HostNetwork
  /**
   * `virtual`: the cluster's subnet is reached under virtual addresses. `allowed`: the user wants the cluster to win. `kept`: the network
   * came up while the subnet was in use, so the cluster goes on winning until the next `connect`. `refused`: nothing is routed.
   */
  resolution: 'allowed' | 'kept' | 'refused' | 'virtual'
}

/** A subnet that is reached under other addresses. `workload`: whose traffic-agent dials; null = the traffic-manager. */
export type VirtualSubnet = {
  cidr: string
  /** Whether each address keeps its place in the block; else addresses are handed out one by one, when a name is looked up. */
  isPrefix: boolean
  reason: 'conflict' | 'proxy-via' | 'vnat'
  virtual: string
  workload: string | null
}

/** Where packets go. All subnets in CIDR notation. */
export type RoutingStatus = {
  conflicts: RoutingConflict[]
  neverProxied: string[]
  /** What does not work as one would expect, in words. */
  notes: string[]
  /** Lead to the cluster under their own addresses. */
  routed: string[]
  virtual: VirtualSubnet[]
}

/** Answer of `status`. */
export type TunnelStatus = {
  attachments: Attachment[]
  dns: DnsStatus
  /** Milliseconds since the last answer from the traffic-manager; null before the first. */
  lastAnswerMs: number | null
  legs: StatusLeg[]
  manager: Leg
  namespace: string
  /** Resident set size of the tunnel, bytes. */
  residentBytes: number
  roundTripMs: number | null
  routing: RoutingStatus
  session: SessionStatus | null
  version: string
}

/** One row of `list`. */
export type Workload = {
  agent: 'installed' | 'intercepted' | 'none'
  /** Public names of the clients that hold an attachment. */
  clients: string[]
  kind: string
  name: string
  namespace: string
  state: 'available' | 'failure' | 'progressing' | 'unknown'
}

/** Parameters of `attach`. */
export type AttachParams = {
  kind: 'intercept'
  localPort: number | null
  /** Whether the caller mounts the volumes, so that whoever leaves knows that there are some to take back. */
  mount: boolean
  name: string
  /** Name or number of the Service's port; null where the Service has only one. */
  portIdentifier: string | null
  service: string | null
  workload: string
}

/** Answer of `link.status`. */
export type LinkStatus = {
  carrier: 'exec' | 'unix'
  context: string
  /** `api` and `tunnel`. */
  legs: StatusLeg[]
  managerNamespace: string
  namespace: string
  /** What the port-forward speaks, once one was opened. */
  portForward: 'spdy' | 'spdy-over-websocket' | 'websocket' | null
  pid: number
  residentBytes: number
  server: string
  version: string
}

/**
 * Parameters of `link.own`: the caller owns these for as long as its control connection stays open.
 * If it closes without `link.disown`, the link takes them back in this order: app containers, attachments, mount containers
 * and volumes (all found by the label dev.tpx.owner), and the whole connection where `quit` is set.
 */
export type Ownership = {
  attachments: string[]
  /** Value of the label dev.tpx.owner. */
  owner: string
  quit: boolean
}

/**
 * What a tunnel needs to go on where another process left off: kept by the link, in memory, over a crash or an upgrade of the
 * tunnel container. The session id is a bearer: it is handed back to the tunnel only.
 */
export type TunnelSnapshot = {
  attachments: { params: AttachParams; sftpPort: number }[]
  sessionId: string | null
  /** Virtual addresses that apps may have in use; absent from tunnels that know none. `addresses`: pairs of real and virtual. */
  virtual?: { addresses: [string, string][]; subnets: VirtualSubnet[] }
}

/** Parameters of `dns-trace`. `type`: IANA's name of a record type; `flush`: forget all answers before. An IP address is asked for its name. */
export type DnsTraceParams = { flush: boolean; name: string; type: string }

/** A DNS record in presentation form; `ttl` in seconds. */
export type DnsRecord = { data: string; name: string; ttl: number; type: string }

/** One name that libc would ask for. */
export type DnsTraceStep = {
  /** `docker`: its resolver, on a user-defined network, did not ask the tunnel. */
  answeredBy: 'docker' | 'nobody' | 'tunnel'
  /** Whom the tunnel asked, in order; `rcode` is null where no answer came. */
  asked: { error?: string; from: string; isCached: boolean; ms: number; name: string; rcode: string | null; type: string }[]
  /** Why there is no answer. */
  error?: string
  isCached: boolean
  ms: number
  /** Fully qualified, without the trailing dot. */
  name: string
  rcode: string
  records: DnsRecord[]
  /** What decided where the name is looked up, in words. */
  rule: string
}

/** Answer of `dns-trace`: how a name is resolved in a container of the connection. */
export type DnsTrace = {
  /** The name of the search list's that has records. */
  found: string | null
  ms: number
  name: string
  /** Of the containers' resolv.conf, as are `ndots` and `search`. */
  nameserver: string
  ndots: number
  rcode: string
  records: DnsRecord[]
  search: string[]
  steps: DnsTraceStep[]
  type: string
}

/** Method -> parameters and result. */
export type ControlMethods = {
  attach: { params: AttachParams; result: Attachment }
  /** What the CLI set when the connection was made, and what the traffic-manager sets beneath it. */
  config: { params: Record<string, never>; result: { client: ClientConfig; manager: ClientConfig } }
  /** Waits until the session with the traffic-manager is up and DNS and routes are in place. */
  connect: { params: { timeoutMs: number }; result: SessionStatus }
  /** From the link, on every new control stream before `resume` and whenever something changed. */
  host: { params: HostFacts; result: Record<string, never> }
  /** Asked by the link: the tunnel shall open a carrier stream with the target `dial ID`. */
  dial: { params: { id: string }; result: Record<string, never> }
  'dns-trace': { params: DnsTraceParams; result: DnsTrace }
  leave: { params: { name: string }; result: { mount: boolean } }
  'link.disown': { params: Record<string, never>; result: Record<string, never> }
  /**
   * `connect` was typed where a link is alive: it takes over the environment of that shell, for credential plugins.
   * CONNECTION_EXISTS where it was started for another choice.
   */
  'link.environment': { params: { choice: Choice; variables: Variables }; result: Record<string, never> }
  'link.own': { params: Ownership; result: Record<string, never> }
  /** Ends the link, after the session was departed. Containers are the caller's business. */
  'link.quit': { params: Record<string, never>; result: Record<string, never> }
  'link.status': { params: Record<string, never>; result: LinkStatus }
  list: { params: { namespace: string | null }; result: Workload[] }
  /** The link's first call on every control stream; null where it knows nothing. The session begins after it. */
  resume: { params: { snapshot: TunnelSnapshot | null }; result: Record<string, never> }
  /** Asked by the link after every call that may have changed something. */
  snapshot: { params: Record<string, never>; result: TunnelSnapshot }
  /** Leaves all attachments and departs the session; the tunnel ends afterwards. */
  quit: { params: Record<string, never>; result: Record<string, never> }
  status: { params: Record<string, never>; result: TunnelStatus }
}

/** A method's name. */
export type ControlMethod = keyof ControlMethods
