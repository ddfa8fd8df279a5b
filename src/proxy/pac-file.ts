/** What of the network is the cluster. */
export type ClusterZone = {
  clusterDomain: string
  /** Suffixes without a dot before them. */
  includeSuffixes: string[]
  namespace: string
  /** CIDRs. */
  subnets: string[]
}

const ipv4Only = (cidr: string): boolean => !cidr.includes(':')

/** IPv4 CIDR -> address and mask in the dotted notation of isInNet(). */
function netOf(cidr: string): [address: string, mask: string] {
  const [address = '', bits = '32'] = cidr.split('/')
  const mask = Number(bits) === 0 ? 0 : (0xffffffff << (32 - Number(bits))) >>> 0
  return [address, [24, 16, 8, 0].map((shift) => (mask >>> shift) & 255).join('.')]
}

/**
 * A proxy auto-config file: names and addresses of the cluster go to the proxy, all else goes as if there were none. Names without a
 * dot may be Services of the connected namespace; the proxy reaches those that are not as this host does.
 * @param port of the proxy, on 127.0.0.1
 */
export function pacFile(zone: ClusterZone, port: number): string {
  const suffixes = [zone.clusterDomain, 'svc', zone.namespace, ...zone.includeSuffixes]
    .map((suffix) => suffix.toLowerCase().replaceAll(/^\.|\.$/g, ''))
    .filter(Boolean)
  const nets = zone.subnets.filter(ipv4Only).map(netOf)
  const hasIpv6 = zone.subnets.some((cidr) => !ipv4Only(cidr))
  return `// Made by "tpx proxy": only what belongs to the cluster goes to the proxy.
var SUFFIXES = ${JSON.stringify([...new Set(suffixes)])};
var NETS = ${JSON.stringify(nets)};

function FindProxyForURL(url, host) {
  var PROXY = "PROXY 127.0.0.1:${port}";
  host = host.toLowerCase().replace(/\\.$/, "");
  if (host === "localhost" || host.slice(-10) === ".localhost") return "DIRECT";
  if (host.indexOf(":") >= 0) return ${hasIpv6 ? 'host === "::1" || host === "[::1]" ? "DIRECT" : PROXY' : '"DIRECT"'};
  if (/^\\d+\\.\\d+\\.\\d+\\.\\d+$/.test(host)) {
    for (var i = 0; i < NETS.length; i++) if (isInNet(host, NETS[i][0], NETS[i][1])) return PROXY;
    return "DIRECT";
  }
  if (host.indexOf(".") < 0) return PROXY;
  for (var j = 0; j < SUFFIXES.length; j++) if (host.slice(-SUFFIXES[j].length - 1) === "." + SUFFIXES[j]) return PROXY;
  return "DIRECT";
}
`
}
