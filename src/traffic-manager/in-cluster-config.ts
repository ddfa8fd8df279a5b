import { readFileSync } from 'node:fs'
import type https from 'node:https'
import type { KubeConfig } from '@kubernetes/client-node'
import { TpxError } from '../base/error.ts'

/** Where the kubelet puts the ServiceAccount's credentials (Kubernetes: "Accessing the API from within a Pod"). */
export const SERVICE_ACCOUNT_DIR = '/var/run/secrets/kubernetes.io/serviceaccount'
/** The kubelet renews the token long before its end; client-go reads it once a minute, too. */
const REREAD_MS = 60_000

/** The part of a KubeConfig that src/kube needs for requests. */
type RequestConfig = Pick<KubeConfig, 'applyToHTTPSOptions' | 'getCurrentCluster' | 'getCurrentContext' | 'getCurrentUser'>

/**
 * The Pod's own access to the API. In the place of client-node's loadFromCluster, whose import costs 40 MB of memory and
 * 150 ms at start.
 * @throws TpxError KUBECONFIG_INVALID outside of a Pod
 */
export function inClusterConfig(env: NodeJS.ProcessEnv, directory: string = SERVICE_ACCOUNT_DIR): KubeConfig {
  const host = env['KUBERNETES_SERVICE_HOST']
  if (!host) throw new TpxError('KUBECONFIG_INVALID', 'Environment variable "KUBERNETES_SERVICE_HOST" is missing')
  const server = `https://${host.includes(':') ? `[${host}]` : host}:${env['KUBERNETES_SERVICE_PORT'] || '443'}`
  let credentials = { ca: '', readMs: -Infinity, token: '' }
  const config: RequestConfig = {
    applyToHTTPSOptions: async (options) => {
      if (performance.now() - credentials.readMs > REREAD_MS) credentials = { ...read(directory), readMs: performance.now() }
      const headers = Object.assign(options.headers ?? {}, { Authorization: `Bearer ${credentials.token}` })
      Object.assign(options as https.RequestOptions, { ca: credentials.ca, headers })
    },
    getCurrentCluster: () => ({ name: 'in-cluster', server, skipTLSVerify: false }),
    getCurrentContext: () => 'in-cluster',
    getCurrentUser: () => ({ name: 'in-cluster' }),
  }
  // Only src/kube's requests ever see it, and they need no more.
  return config as KubeConfig
}

function read(directory: string): { ca: string; token: string } {
  return { ca: readFileSync(`${directory}/ca.crt`, 'utf8'), token: readFileSync(`${directory}/token`, 'utf8').trim() }
}
