import { setTimeout as sleep } from 'node:timers/promises'
import { TpxError } from '../base/error.ts'
import { backoffMs } from '../base/retry.ts'
import type { DialFailure } from '../proxy/dial.ts'
import type { ClusterZone } from '../proxy/pac-file.ts'
import { type ProxyServer, startProxy } from '../proxy/proxy-server.ts'
import { ClusterDialer, isGone } from './cluster-dialer.ts'
import { type EngineSource, useConnection } from './connection.ts'

const BACKOFF = { firstMs: 100, mostMs: 3000 }

/** One proxy into one connection. */
export type ProxyOptions = {
  engine: EngineSource
  onFailure?: (failure: DialFailure) => void
  port: number
  root: string
  use: string | undefined
}

/** A proxy that listens, and whose connection is there. */
export type Proxy = ProxyServer & {
  connection: string
  /** Keeps the way to the tunnel open. Rejects when the connection is ended; never resolves. */
  watch(onChange: (text: string) => void): Promise<never>
}

/**
 * Starts a proxy into a connection.
 * @throws TpxError CONNECTION_NOT_FOUND, CONNECTION_AMBIGUOUS, PORT_TAKEN, or what the link finds
 */
export async function openProxy({ engine, onFailure, port, root, use }: ProxyOptions): Promise<Proxy> {
  const { control, name } = await useConnection({ engine, root, use })
  control.close()
  const dialer = new ClusterDialer({ connection: name, engine, root })
  await dialer.open()
  try {
    const server = await startProxy({
      dial: (target, signal) => dialer.dial(target, signal),
      ...(onFailure ? { onFailure } : {}),
      port,
      zone: () => zoneOf({ engine, root, use: name }),
    })
    const close = (): void => {
      server.close()
      dialer.close()
    }
    return { close, connection: name, port: server.port, watch: (onChange) => watch(dialer, name, onChange) }
  } catch (error) {
    dialer.close()
    throw error
  }
}

async function zoneOf(options: { engine: EngineSource; root: string; use: string }): Promise<ClusterZone> {
  const { control } = await useConnection(options)
  try {
    const { dns, namespace, routing, session } = await control.call('status', {})
    if (!session) throw new TpxError('MANAGER_UNREACHABLE', 'The traffic-manager has not said yet what the cluster is')
    const { clusterDomain, includeSuffixes } = dns
    return { clusterDomain, includeSuffixes, namespace, subnets: [...routing.routed, ...routing.virtual.map(({ virtual }) => virtual)] }
  } finally {
    control.close()
  }
}

async function watch(dialer: ClusterDialer, name: string, onChange: (text: string) => void): Promise<never> {
  for (let failures = 0; ;) {
    try {
      const session = await dialer.open()
      if (failures > 0) onChange(`The connection "${name}" can be reached again`)
      failures = 0
      await session.closed
    } catch (error) {
      if (isGone(error))
        throw new TpxError('CONNECTION_NOT_FOUND', `The connection "${name}" was ended`, { cause: error, hint: 'tpx connect' })
      if (failures === 0) onChange(`The connection "${name}" cannot be reached: ${(error as Error).message}`)
      await sleep(backoffMs(BACKOFF, failures++))
    }
  }
}
