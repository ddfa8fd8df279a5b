// Kubeconfigs made from the test cluster's own.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse, stringify } from 'yaml'

/** A kubeconfig, as far as tests change it. */
export type KubeconfigText = {
  clusters: { cluster: Record<string, unknown>; name: string }[]
  contexts: { context: Record<string, unknown>; name: string }[]
  'current-context': string
  users: { name: string; user: Record<string, unknown> }[]
}

/** A folder for kubeconfigs and plugins, removed at the end of the scope. */
export class KubeconfigFolder implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), 'tpx-kube-'))
  #count = 0

  /** Writes the test cluster's kubeconfig, changed; answers the path. */
  kubeconfig(change: (config: KubeconfigText) => void): string {
    const config = clusterKubeconfig()
    change(config)
    return this.file(`config-${(this.#count += 1)}`, stringify(config))
  }

  file(name: string, text: string, mode = 0o600): string {
    const path = join(this.path, name)
    writeFileSync(path, text, { mode })
    return path
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { force: true, recursive: true })
  }
}

/** The test cluster's kubeconfig: one cluster, one context, a user with a client certificate. */
export function clusterKubeconfig(): KubeconfigText {
  return parse(readFileSync(String(process.env['KUBECONFIG']), 'utf8')) as KubeconfigText
}

/** Where the test cluster's API server is. */
export function apiServer(): { host: string; port: number } {
  const { hostname, port } = new URL(String(clusterKubeconfig().clusters[0]?.cluster['server']))
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 443) }
}

/** Leads the only cluster of a kubeconfig to another address; the certificate is still checked, under a name that it has. */
export function setServer(config: KubeconfigText, server: string): void {
  for (const { cluster } of config.clusters) Object.assign(cluster, { server, 'tls-server-name': 'kubernetes' })
}
