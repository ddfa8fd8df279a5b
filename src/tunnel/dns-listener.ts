import { create } from '@bufbuild/protobuf'
import { systemCode } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import { keepTrying } from '../base/retry.ts'
import { DEFAULT_EXCLUDE_SUFFIXES, type Zone } from '../dns/name-plan.ts'
import { type ClusterAnswer, Resolver } from '../dns/resolver.ts'
import { startDnsServer } from '../dns/server.ts'
import { StreamExchange } from '../dns/stream-exchange.ts'
import { DNSRequestSchema } from '../wire/generated/manager_pb.ts'
import type { DnsStatus } from '../wire/control.ts'
import type { Carrier } from './carrier.ts'
import type { ClientSettings } from './client-settings.ts'
import { allSubnets } from './cluster-view.ts'
import { sessionInfo, within } from './manager-client.ts'
import type { ManagerSession } from './manager-session.ts'
import { ADDRESS4 } from './routes.ts'
import type { Settings } from './settings.ts'

/** Below the 5 s after which libc asks again. */
const LOOKUP_LIMIT_MS = 4000
/** A lost session is usually back within a second; longer than this nobody waits for a name. */
const SHORT_BREAK_MS = 1500
const BIND_BACKOFF = { firstMs: 50, mostMs: 500 }
const DNS_PORT = 53

type Options = { carrier: Carrier; client: ClientSettings; logger: Logger; manager: ManagerSession; settings: Settings }

/** Asks the manager for records of a name. @throws TpxError why there is no answer */
export async function lookupInCluster(manager: ManagerSession, name: string, type: number): Promise<ClusterAnswer> {
  await manager.waitShortly(SHORT_BREAK_MS)
  const { rCode, rrs } = await manager.call((client, id) =>
    client.lookupDNS(create(DNSRequestSchema, { name, session: sessionInfo(id), type }), undefined, within(LOOKUP_LIMIT_MS)),
  )
  return { rcode: rCode, records: Buffer.from(rrs.buffer, rrs.byteOffset, rrs.byteLength) }
}

/** How names are resolved, for `tpx status`. */
export function dnsStatus(options: Pick<Options, 'client' | 'manager' | 'settings'>): DnsStatus {
  const { clusterDomain, excludeSuffixes, includeSuffixes, namespace } = zoneOf(options)
  const search = [`${namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain]
  return { address: ADDRESS4, clusterDomain, excludeSuffixes, includeSuffixes, search }
}

/** Where names are looked up: what the user set, then what the manager says, then what is usual. */
function zoneOf({ client, manager, settings }: Pick<Options, 'client' | 'manager' | 'settings'>): Zone {
  const { cluster } = manager.state.value
  const { excludeSuffixes, includeSuffixes } = client.value.dns ?? {}
  return {
    clusterDomain: cluster?.clusterDomain ?? settings.clusterDomain,
    excludeSuffixes:
      excludeSuffixes ?? (cluster && cluster.excludeSuffixes.length > 0 ? cluster.excludeSuffixes : DEFAULT_EXCLUDE_SUFFIXES),
    includeSuffixes: includeSuffixes ?? cluster?.includeSuffixes ?? [],
    namespace: settings.namespace,
    subnets: cluster ? allSubnets(cluster, client.value) : [],
  }
}

/** The names of the cluster and of the host, as the containers of this connection see them. */
export function makeResolver({ carrier, client, manager, settings }: Options): Resolver {
  const host = new StreamExchange({
    limitMs: LOOKUP_LIMIT_MS,
    open: () => carrier.open({ kind: 'dns' }, { shortBreak: true, waitMs: SHORT_BREAK_MS }),
  })
  const zone = (): Zone => zoneOf({ client, manager, settings })
  const upstreams = {
    cluster: (name: string, type: number) => lookupInCluster(manager, name, type),
    host: (message: Buffer) => host.exchange(message),
  }
  return new Resolver({ upstreams, zone })
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
