import { TpxError } from '../base/error.ts'
import type { WrittenFlag } from './docker-run-arguments.ts'
import type { HolderNetwork } from './holder-container.ts'
import { parsePublishedPort } from './published-port.ts'

const NO_USER_NETWORK = /^(?:host|none|container:.*)$/

/**
 * The user-defined network that the holder is to join; undefined for Docker's default one.
 * @throws TpxError DOCKER_FLAG_UNSUPPORTED for what is no network of the holder's own, USAGE for what is no name
 */
export function userNetwork(name: string): string | undefined {
  if (NO_USER_NETWORK.test(name))
    throw new TpxError(
      'DOCKER_FLAG_UNSUPPORTED',
      `"--network ${name}" cannot be used: the network of the cluster needs a namespace of its own`,
      {
        hint: 'Name a user-defined network ("docker network ls"), or leave the flag away',
      },
    )
  if (name === '' || name.includes('='))
    throw new TpxError('USAGE', `"${name}" is not the name of a user-defined Docker network`, {
      hint: 'See "docker network ls"; one name, without options',
    })
  return name === 'bridge' || name === 'default' ? undefined : name
}

/**
 * Translates the flags of `docker run` that belong to the owner of the network namespace.
 * @param ownNetwork the network where they name none
 * @throws TpxError USAGE, DOCKER_FLAG_UNSUPPORTED
 */
export function holderNetwork(flags: WrittenFlag[], ownNetwork?: string): HolderNetwork {
  const values = (name: string): string[] => flags.filter((flag) => flag.name === name).map(({ value }) => value)
  const portBindings: Record<string, { HostIp?: string; HostPort?: string }[]> = {}
  for (const { containerPort, hostIp, hostPort } of values('publish').flatMap(parsePublishedPort))
    (portBindings[containerPort] ??= []).push({ HostIp: hostIp, HostPort: hostPort })
  const exposed = [...Object.keys(portBindings), ...values('expose').map((port) => (port.includes('/') ? port : `${port}/tcp`))]
  const hostname = values('hostname').at(-1)
  const networks = [...values('network'), ...values('net')]
  if (networks.length > 1) throw new TpxError('USAGE', 'Only one --network can be given', { hint: 'Use "docker network connect" for more' })
  const network = networks[0] === undefined ? ownNetwork : userNetwork(networks[0])
  const aliases = [...values('network-alias'), ...values('net-alias')]
  if (aliases.length > 0 && network === undefined)
    throw new TpxError('USAGE', 'A network alias needs a user-defined network', { hint: 'Add --network NAME' })
  const extraHosts = values('add-host').map((host) => host.replace('=', ':'))
  return {
    ...(aliases.length ? { aliases } : {}),
    ...(exposed.length ? { exposedPorts: Object.fromEntries(exposed.map((port) => [port, {}])) } : {}),
    ...(extraHosts.length ? { extraHosts } : {}),
    ...(hostname ? { hostname } : {}),
    ...(network ? { network } : {}),
    ...(Object.keys(portBindings).length ? { portBindings } : {}),
  }
}
