import type { WrittenFlag } from './docker-run-arguments.ts'
import type { HolderNetwork } from './holder-container.ts'
import { parsePublishedPort } from './published-port.ts'

/** Translates the flags of `docker run` that belong to the owner of the network namespace. @throws TpxError USAGE */
export function holderNetwork(flags: WrittenFlag[]): HolderNetwork {
  const values = (name: string): string[] => flags.filter((flag) => flag.name === name).map(({ value }) => value)
  const portBindings: Record<string, { HostIp?: string; HostPort?: string }[]> = {}
  for (const { containerPort, hostIp, hostPort } of values('publish').flatMap(parsePublishedPort))
    (portBindings[containerPort] ??= []).push({ HostIp: hostIp, HostPort: hostPort })
  const exposed = [...Object.keys(portBindings), ...values('expose').map((port) => (port.includes('/') ? port : `${port}/tcp`))]
  const hostname = values('hostname').at(-1)
  const extraHosts = values('add-host').map((host) => host.replace('=', ':'))
  return {
    ...(exposed.length ? { exposedPorts: Object.fromEntries(exposed.map((port) => [port, {}])) } : {}),
    ...(extraHosts.length ? { extraHosts } : {}),
    ...(hostname ? { hostname } : {}),
    ...(Object.keys(portBindings).length ? { portBindings } : {}),
  }
}
