import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { HostFacts } from '../wire/control.ts'
import { engineIsHere, hostNetworks } from './host-networks.ts'

/** A VPN that comes up is noticed within this time. On Linux the tables are two small files in memory, elsewhere a program tells them. */
const POLL_MS = process.platform === 'linux' ? 3000 : 10_000
/** An API server behind a name may move. */
const ADDRESS_MS = 60_000

/** The addresses of an API server, none of them loopback; those of a name that does not resolve are none. */
export async function apiAddresses(server: string): Promise<string[]> {
  const host = URL.canParse(server) ? new URL(server).hostname.replaceAll(/^\[|\]$/g, '') : ''
  if (!host) return []
  const found = isIP(host) ? [host] : (await lookup(host, { all: true }).catch(() => [])).map(({ address }) => address)
  return [...new Set(found)].filter((address) => !address.startsWith('127.') && address !== '::1').sort()
}

/** Tells what is known of this host at once and whenever it changes, until the signal aborts. @param server URL of the API server */
export async function watchHostFacts(server: () => string, onFacts: (facts: HostFacts) => void, signal: AbortSignal): Promise<void> {
  let addresses: string[] = []
  let addressesAt = -Infinity
  let last = ''
  while (!signal.aborted) {
    if (performance.now() - addressesAt > ADDRESS_MS) {
      const found = await apiAddresses(server())
      // A resolver that is away for a moment takes nothing back.
      if (found.length > 0) addresses = found
      addressesAt = performance.now()
    }
    const networks = engineIsHere(process.env['DOCKER_HOST']) ? await hostNetworks().catch(() => []) : []
    const facts = { apiAddresses: addresses, networks }
    const text = JSON.stringify(facts)
    if (text !== last && !signal.aborted) onFacts(facts)
    last = text
    await sleep(POLL_MS, undefined, { ref: false, signal }).catch(() => {})
  }
}
