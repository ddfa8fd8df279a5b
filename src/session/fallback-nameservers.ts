import { Resolver } from 'node:dns'
import { readFile } from 'node:fs/promises'
import { parseNameserver } from '../dns/nameserver.ts'
import { parseResolvConf } from '../dns/resolv-conf.ts'

/** systemd-resolved's list of the servers that it asks itself; the engine gives these to its containers, too. */
const UPSTREAM_LIST = '/run/systemd/resolve/resolv.conf'

const isLoopback = (server: string): boolean => /^(?:127\.|\[?::1\]?(?::|$))/.test(server)

/**
 * The name servers that a container can ask by itself, for names outside of the cluster while there is no link: the host's, without
 * those that listen on its loopback. Empty where there is none.
 * @param override TPX_HOST_NAMESERVERS
 */
export async function fallbackNameservers(override: string | undefined, upstreamList: string = UPSTREAM_LIST): Promise<string[]> {
  const system = override ? override.split(',').map((entry) => entry.trim()) : new Resolver().getServers()
  const reachable = system.filter((server) => server !== '' && !isLoopback(server))
  if (reachable.length > 0) return reachable
  const text = await readFile(upstreamList, 'utf8').catch(() => '')
  return parseResolvConf(text).nameservers.filter((server) => !isLoopback(parseNameserver(server).address))
}
