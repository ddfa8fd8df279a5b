import { create } from '@bufbuild/protobuf'
import { setTimeout as sleep } from 'node:timers/promises'
import { asTpxError, systemCode } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import { keepTrying } from '../base/retry.ts'
import { DEFAULT_EXCLUDE_SUFFIXES, type Zone } from '../dns/name-plan.ts'
import { askNameservers, type Nameserver, parseNameservers } from '../dns/nameserver.ts'
import { podSearchList } from '../dns/resolv-conf.ts'
import { type ClusterAnswer, type HostAnswer, Resolver } from '../dns/resolver.ts'
import { startDnsServer } from '../dns/server.ts'
import { StreamExchange } from '../dns/stream-exchange.ts'
import { DNSRequestSchema } from '../wire/generated/manager_pb.ts'
import { lookupTranslated, translateMapping } from './address-translation.ts'
import type { DnsStatus } from '../wire/control.ts'
import type { Carrier } from './carrier.ts'
import type { ClientSettings } from './client-settings.ts'
import { sessionInfo, within } from './manager-client.ts'
import type { ManagerSession } from './manager-session.ts'
import { ADDRESS4 } from './routes.ts'
import type { Routing } from './routing.ts'
import type { Settings } from './settings.ts'

/** Below the 5 s after which libc asks again; `dns.lookupTimeout` says otherwise. */
const LOOKUP_LIMIT_MS = 4000
/** A link that is not there is known at once; one that hangs leaves this much for the engine's own name servers. */
const LEAST_FALLBACK_MS = 800
/** A lost session is usually back within a second; longer than this nobody waits for a name. */
const SHORT_BREAK_MS = 1500
/** What fails sooner was cut, and did not time out. */
const CUT_MS = 1000
const CUT_NOTICE_MS = 50
const BIND_BACKOFF = { firstMs: 50, mostMs: 500 }
const DNS_PORT = 53

type Options = {
  carrier: Carrier
  client: ClientSettings
  manager: ManagerSession
  routing: Pick<Routing, 'addresses' | 'reverseSubnets'>
  settings: Settings
}

type Lookup = { limitMs: number; name: string; type: number }

async function askManager(manager: ManagerSession, { limitMs, name, type }: Lookup): Promise<ClusterAnswer> {
  await manager.waitShortly(SHORT_BREAK_MS)
  const { rCode, rrs } = await manager.call((client, id) =>
    client.lookupDNS(create(DNSRequestSchema, { name, session: sessionInfo(id), type }), undefined, within(limitMs)),
  )
  return { rcode: rCode, records: Buffer.from(rrs.buffer, rrs.byteOffset, rrs.byteLength) }
}

/** Asks the manager for records of a name; once more where the session is lost meanwhile. @throws TpxError why there is no answer */
export async function lookupInCluster(manager: ManagerSession, lookup: Lookup): Promise<ClusterAnswer> {
  const began = performance.now()
  try {
    return await askManager(manager, lookup)
  } catch (error) {
    const wasCut = asTpxError(error).code === 'MANAGER_UNREACHABLE' && performance.now() - began < Math.min(CUT_MS, lookup.limitMs)
    if (!wasCut) throw error
    // The loss is noticed a moment after the calls on it have failed.
    await sleep(CUT_NOTICE_MS)
    return askManager(manager, lookup)
  }
}

/**
 * Asks the host's resolver, through the link; where there is no link, the name servers that the engine would give a container.
 * Docker's own resolver (127.0.0.11) is never asked: on a user-defined network the containers ask it first, and it asks us.
 */
function askHost({ exchange, fallback, limitMs }: { exchange: StreamExchange; fallback: Nameserver[]; limitMs: () => number }) {
  return async (message: Buffer): Promise<HostAnswer> => {
    const began = performance.now()
    try {
      return { from: 'host', message: await exchange.exchange(message) }
    } catch (error) {
      const left = Math.max(LEAST_FALLBACK_MS, limitMs() - (performance.now() - began))
      const found = await askNameservers(message, fallback, { limitMs: left })
      if (!found) throw error
      return { from: `name server ${found.server.address}, because the host is away`, message: found.message }
    }
  }
}

/** How names are resolved, for `tpx status`. */
export function dnsStatus(options: Pick<Options, 'client' | 'manager' | 'routing' | 'settings'>): DnsStatus {
  const { clusterDomain, excludeSuffixes, includeSuffixes, namespace } = zoneOf(options)
  return { address: ADDRESS4, clusterDomain, excludeSuffixes, includeSuffixes, search: podSearchList(namespace, clusterDomain) }
}

const bareDomain = (domain: string): string => domain.replaceAll(/^\.|\.$/g, '').toLowerCase()

/** Where names are looked up: what the user set, then what the manager says, then what is usual. */
function zoneOf({ client, manager, routing, settings }: Pick<Options, 'client' | 'manager' | 'routing' | 'settings'>): Zone {
  const { cluster } = manager.state.value
  const { dns = {} } = client.value
  const ofManager = cluster ?? { clusterDomain: settings.clusterDomain, excludeSuffixes: [], includeSuffixes: [] }
  const excludedByManager = ofManager.excludeSuffixes.length > 0 ? ofManager.excludeSuffixes : DEFAULT_EXCLUDE_SUFFIXES
  return {
    clusterDomain: bareDomain(client.value.cluster?.clusterDomain || ofManager.clusterDomain),
    excludeSuffixes: dns.excludeSuffixes ?? excludedByManager,
    excludes: dns.excludes ?? [],
    includeSuffixes: dns.includeSuffixes ?? ofManager.includeSuffixes,
    mappings: (dns.mappings ?? []).map((mapping) => translateMapping(mapping, routing.addresses)),
    namespace: settings.namespace,
    subnets: routing.reverseSubnets(),
  }
}

/** Forgets all answers when another cluster may be behind the names: a new session, other subnets, other settings. */
function forgetOnChange(resolver: Resolver, { client, manager }: Pick<Options, 'client' | 'manager'>): void {
  let known = ''
  let wasUp = false
  manager.state.onChange(({ cluster, leg, sessionId }) => {
    const isUp = leg.state === 'up'
    const now = JSON.stringify({ cluster, sessionId })
    if ((isUp && !wasUp) || now !== known) resolver.forget()
    known = now
    wasUp = isUp
  })
  client.onChange(() => resolver.forget())
}

/** The names of the cluster and of the host, as the containers of this connection see them. */
export function makeResolver({ carrier, client, manager, routing, settings }: Options): Resolver {
  const limitMs = (): number => client.value.dns?.lookupTimeout ?? LOOKUP_LIMIT_MS
  const exchange = new StreamExchange({
    limitMs,
    open: () => carrier.open({ kind: 'dns' }, { shortBreak: true, waitMs: SHORT_BREAK_MS }),
  })
  const upstreams = {
    cluster: (name: string, type: number) =>
      lookupTranslated(routing.addresses, {
        lookup: (realName) => lookupInCluster(manager, { limitMs: limitMs(), name: realName, type }),
        name,
        type,
      }),
    host: askHost({ exchange, fallback: parseNameservers(settings.fallbackNameservers), limitMs }),
  }
  const resolver = new Resolver({ upstreams, zone: () => zoneOf({ client, manager, routing, settings }) })
  forgetOnChange(resolver, { client, manager })
  return resolver
}

/**
 * Serves DNS on port 53 of the tunnel's own address, as soon as that exists, until the signal aborts.
 * @param onListening is called once
 */
export async function serveDns(
  resolver: Resolver,
  address: string,
  options: { logger: Logger; onListening: () => void; signal: AbortSignal },
): Promise<void> {
  const { logger, onListening, signal } = options
  let reported = ''
  const attempt = async (): Promise<boolean> => {
    const server = await startDnsServer(resolver, { host: address, port: DNS_PORT })
    signal.addEventListener('abort', () => server.close(), { once: true })
    if (signal.aborted) server.close()
    onListening()
    return true
  }
  const onError = (error: unknown): void => {
    const code = systemCode(error) ?? String(error)
    if (code !== reported && code !== 'EADDRNOTAVAIL') logger.error({ code }, 'the DNS server cannot listen yet')
    reported = code
  }
  await keepTrying(attempt, { backoff: BIND_BACKOFF, onError, signal })
}
