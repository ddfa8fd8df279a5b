import { execFile } from 'node:child_process'
import { networkInterfaces } from 'node:os'
import { promisify } from 'node:util'
import { hostBits, isCidr, normalizeCidr, overlaps } from '../base/cidr.ts'
import { readKernelRoutes } from '../base/kernel-routes.ts'
import type { HostNetwork } from '../wire/control.ts'

/** Never lead anywhere else: loopback, link-local and multicast. */
const NOT_NETWORKS = ['127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '::1/128', 'fe80::/10', 'ff00::/8']
/** The Docker Engine's own bridges: a container reaches only those that it has joined, and those it shows itself. */
const ENGINE_DEVICES = /^(?:docker\d+|docker_gwbridge|br-[\da-f]{12}|podman\d+|cni-podman\d+|veth.*)$/
/** Network plugins of a cluster that runs on this very host: these networks are the cluster's own and no others. */
const CLUSTER_DEVICES =
  /^(?:cni\d+|cbr\d+|flannel.*|cali.*|vxlan\.calico|tunl\d+|cilium.*|lxc.*|weave|kube-.*|nodelocaldns|ovn.*|antrea.*)$/

/** Whether traffic to a network of this host passes the host at all: not where the engine runs on another machine. */
export function engineIsHere(dockerHost: string | undefined): boolean {
  return !dockerHost || /^(?:unix|npipe):/.test(dockerHost) || /^tcp:\/\/(?:127\.|localhost|\[::1\])/.test(dockerHost)
}

/**
 * The networks that this host reaches by itself, VPNs included: on Linux and macOS its routes, elsewhere the subnets of its interfaces.
 * Without default routes, and without those of container engines and network plugins.
 * @param override TPX_HOST_NETWORKS: "CIDR=NAME,…" instead of all that
 */
export async function hostNetworks(override: string | undefined = process.env['TPX_HOST_NETWORKS']): Promise<HostNetwork[]> {
  if (override !== undefined) return parseNetworks(override)
  return selectNetworks(await allNetworks())
}

async function allNetworks(): Promise<HostNetwork[]> {
  if (process.platform === 'linux') return routedNetworks()
  if (process.platform !== 'darwin') return interfaceNetworks()
  const { stdout } = await promisify(execFile)('netstat', ['-rn', '-f', 'inet'], { timeout: 3000 })
  return parseNetstat(stdout)
}

/**
 * IPv4 routes as `netstat -rn` of macOS prints them: destination, gateway, flags, interface. Destinations come short: "10" is 10.0.0.0/8,
 * "172.16/12" is 172.16.0.0/12, "192.168.1" is 192.168.1.0/24, four numbers are one host. Hosts are left out: they are neighbours.
 */
export function parseNetstat(text: string): HostNetwork[] {
  return text.split('\n').flatMap((line) => {
    const [destination = '', , , device] = line.trim().split(/\s+/)
    const [, numbers, prefix] = /^(\d{1,3}(?:\.\d{1,3}){0,3})(?:\/(\d{1,2}))?$/.exec(destination) ?? []
    if (!numbers || !device) return []
    const parts = numbers.split('.')
    const cidr = `${[...parts, '0', '0', '0'].slice(0, 4).join('.')}/${prefix ?? parts.length * 8}`
    return !isCidr(cidr) || cidr.endsWith('/32') ? [] : [{ cidr: normalizeCidr(cidr), name: device }]
  })
}

/** "CIDR=NAME,…"; what is no CIDR is left out. */
export function parseNetworks(text: string): HostNetwork[] {
  return text.split(',').flatMap((entry) => {
    const [cidr = '', name = 'TPX_HOST_NETWORKS'] = entry.trim().split('=')
    return isCidr(cidr) ? [{ cidr: normalizeCidr(cidr), name }] : []
  })
}

/** Those that a cluster's subnet may get in the way of, each once. @param all `name` is the interface's */
export function selectNetworks(all: readonly HostNetwork[]): HostNetwork[] {
  const found = new Map<string, HostNetwork>()
  for (const { cidr, name } of all) {
    if (/\/[01]$/.test(cidr) || ENGINE_DEVICES.test(name) || CLUSTER_DEVICES.test(name)) continue
    if (NOT_NETWORKS.some((other) => overlaps(other, cidr))) continue
    found.set(cidr, { cidr, name: `${name} of the host` })
  }
  return [...found.values()]
}

async function routedNetworks(): Promise<HostNetwork[]> {
  const routes = await readKernelRoutes()
  const used = routes.filter(({ device, isUnreachable }) => !isUnreachable && device !== 'lo')
  // IPv6 tables also list the host's own addresses one by one.
  return used.filter(({ cidr }) => !cidr.includes(':') || hostBits(cidr) > 0).map(({ cidr, device }) => ({ cidr, name: device }))
}

function interfaceNetworks(): HostNetwork[] {
  return Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) =>
    addresses.flatMap(({ cidr, internal }) => (cidr && !internal ? [{ cidr: normalizeCidr(cidr), name }] : [])),
  )
}
