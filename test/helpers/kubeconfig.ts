import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { KubeConfig } from '@kubernetes/client-node'
import { parse, stringify } from 'yaml'
import { loadKubeconfig, serverOf } from '../../src/kube/kubeconfig.ts'

type Named<T> = { name: string } & T
type KubeconfigFile = { clusters: Named<{ cluster: Record<string, unknown> }>[]; users: Named<{ user: Record<string, unknown> }>[] }

/** A name that the certificate of every cluster's API server has. */
const API_NAME = 'kubernetes'

/** The kubeconfig of the test cluster, as KUBECONFIG names it. */
export function testKubeconfig(): Promise<KubeConfig> {
  return loadKubeconfig()
}

/** Host and port of the test cluster's API server. */
export async function apiAddress(): Promise<{ host: string; port: number }> {
  const { hostname, port } = new URL(serverOf(await testKubeconfig()))
  return { host: hostname, port: Number(port || 443) }
}

/** The test cluster's kubeconfig with other entries; removed at the end of the scope. */
export function changedKubeconfig(change: {
  cluster: Record<string, unknown>
  user?: Record<string, unknown>
}): Disposable & { path: string } {
  const file = parse(readFileSync(process.env['KUBECONFIG'] ?? '', 'utf8')) as KubeconfigFile
  for (const entry of file.clusters) entry.cluster = { ...entry.cluster, ...change.cluster }
  if (change.user) for (const entry of file.users) entry.user = change.user
  const directory = mkdtempSync(join(tmpdir(), 'tpx-kubeconfig-'))
  const path = join(directory, 'config')
  writeFileSync(path, stringify(file), { mode: 0o600 })
  return { path, [Symbol.dispose]: () => rmSync(directory, { force: true, recursive: true }) }
}

/** The `cluster` entry that leads to the API server through a port of 127.0.0.1. */
export function clusterBehind(port: number, host: string): Record<string, string> {
  return { server: `https://127.0.0.1:${port}`, 'tls-server-name': isIP(host) ? API_NAME : host }
}
