import type { DnsTrace, DnsTraceParams } from '../wire/control.ts'
import { type EngineSource, useConnection } from './connection.ts'

/** What a trace leaves to do; undefined where the name was found. */
export function nextStep({ rcode, steps, type, found }: DnsTrace): string | undefined {
  if (found !== null) return undefined
  if (steps.some(({ rule }) => rule.includes('dns.excludes'))) return 'Take the name out of dns.excludes of this connection'
  if (rcode === 'NOERROR') return `The name exists, but has no ${type} record: ask for another --type`
  if (rcode === 'NXDOMAIN')
    return 'Look for the Service: kubectl get services --all-namespaces; names of another namespace are SERVICE.NAMESPACE'
  return 'Run "tpx status" for the cause, and this again'
}

/** Resolves a name as a container of the connection does, step by step. @throws what useConnection() throws; USAGE */
export async function traceDns(
  params: DnsTraceParams,
  options: { engine: EngineSource; root: string; use: string | undefined },
): Promise<DnsTrace & { next?: string }> {
  const { control } = await useConnection(options)
  try {
    const trace = await control.call('dns-trace', params)
    const next = nextStep(trace)
    return { ...trace, ...(next ? { next } : {}) }
  } finally {
    control.close()
  }
}
