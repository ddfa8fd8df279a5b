import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { Cluster, KubeConfig } from '@kubernetes/client-node'
import { TpxError } from '../base/error.ts'
import type { HostKubeConfig } from './client-config.ts'
import { closestTo } from './closest-name.ts'
import { type KubeconfigExtras, readKubeconfigFile } from './kubeconfig-file.ts'
import { checkFiles, completeUser, useUser } from './kubeconfig-user.ts'
import { proxyFor } from './proxy-variables.ts'

/** The flags that choose a cluster and who to be there; all optional, as kubectl has them. */
export type KubeconfigOptions = {
  /** `--as`: the user to impersonate. */
  as?: string | undefined
  /** `--as-group`, repeated. */
  asGroups?: string[] | undefined
  /** `--as-uid` */
  asUid?: string | undefined
  context?: string | undefined
  /** `--kubeconfig`: one file instead of KUBECONFIG and the default path. */
  kubeconfig?: string | undefined
}

/** Files in the order in which kubectl reads them: `--kubeconfig`, else KUBECONFIG, else ~/.kube/config. */
export function kubeconfigFiles(options: KubeconfigOptions, env: NodeJS.ProcessEnv = process.env): string[] {
  if (options.kubeconfig) return [options.kubeconfig]
  const listed = (env['KUBECONFIG'] ?? '').split(delimiter).filter((file) => file !== '')
  return listed.length ? listed : [join(env['HOME'] ?? homedir(), '.kube', 'config')]
}

/**
 * Loads the kubeconfig and chooses the context, as kubectl does: of several files the first that defines a name wins, and
 * listed files that do not exist are passed over.
 * @throws TpxError KUBECONFIG_INVALID, CONTEXT_NOT_FOUND
 */
export async function loadKubeconfig(options: KubeconfigOptions = {}, env: NodeJS.ProcessEnv = process.env): Promise<HostKubeConfig> {
  const files = kubeconfigFiles(options, env)
  const present = files.filter((file) => existsSync(file))
  if (!present.length) {
    throw new TpxError('KUBECONFIG_INVALID', `No kubeconfig: ${files.map((file) => `"${file}"`).join(', ')} does not exist`, {
      hint: 'Set KUBECONFIG or pass --kubeconfig; "kubectl config view" must show your cluster',
    })
  }

  const { emptyKubeconfig } = await import('./client-config.ts')
  const merged = emptyKubeconfig()
  const extras: KubeconfigExtras = { pluginConfigs: new Map(), users: new Map() }
  for (const file of present) {
    const one = emptyKubeconfig()
    addExtras(extras, readKubeconfigFile(one, file))
    addFile(merged, one)
  }

  merged.setCurrentContext(chooseContext(merged, options.context, present))
  completeCluster(merged, present, env)
  checkFiles(merged)
  completeUser(merged, extras, options)
  return merged
}

/** Namespace of the chosen context; "default" where the context has none. */
export function contextNamespace(kubeConfig: KubeConfig): string {
  return kubeConfig.getContextObject(kubeConfig.getCurrentContext())?.namespace || 'default'
}

/** First wins. client-node's own merge throws on a name that appears twice and takes the last current-context. */
function addFile(merged: KubeConfig, file: KubeConfig): void {
  const lacks = (list: { name: string }[]) => (entry: { name: string }) => !list.some(({ name }) => name === entry.name)
  merged.clusters.push(...file.clusters.filter(lacks(merged.clusters)))
  merged.users.push(...file.users.filter(lacks(merged.users)))
  merged.contexts.push(...file.contexts.filter(lacks(merged.contexts)))
  if (!merged.currentContext && file.currentContext) merged.setCurrentContext(file.currentContext)
}

function chooseContext(kubeConfig: KubeConfig, wanted: string | undefined, files: string[]): string {
  const names = kubeConfig.getContexts().map(({ name }) => name)
  const name = wanted ?? kubeConfig.getCurrentContext()
  const contexts = names.length ? `contexts: ${names.sort().join(', ')}` : 'it has no contexts at all'
  if (!name) {
    throw new TpxError('KUBECONFIG_INVALID', `Kubeconfig ${quoted(files)} has no current context`, {
      hint: `Pass --context or run "kubectl config use-context NAME"; ${contexts}`,
    })
  }

  if (!names.includes(name)) {
    const near = closestTo(name, names)
    throw new TpxError('CONTEXT_NOT_FOUND', `Kubeconfig ${quoted(files)} has no context "${name}"`, {
      hint: `${near ? `Did you mean "${near}"? ` : ''}${contexts[0]!.toUpperCase()}${contexts.slice(1)}`,
    })
  }

  return name
}

/** Checks what the context refers to, and takes the proxy from the environment where the cluster names none (as kubectl does). */
function completeCluster(kubeConfig: KubeConfig, files: string[], env: NodeJS.ProcessEnv): void {
  const context = kubeConfig.getContextObject(kubeConfig.getCurrentContext())
  const cluster = kubeConfig.getCurrentCluster()
  const missing = (what: string, name: string | undefined): TpxError =>
    new TpxError(
      'KUBECONFIG_INVALID',
      `Context "${context?.name}" of kubeconfig ${quoted(files)} names the ${what} "${name}", which is not there`,
      {
        hint: 'Check the file with "kubectl config view"',
      },
    )
  if (!cluster) throw missing('cluster', context?.cluster)
  // A context without user means anonymous; client-node then forgets the CA, too, so it gets an empty user.
  if (!context?.user) useUser(kubeConfig, { name: 'anonymous' })
  else if (!kubeConfig.getCurrentUser()) throw missing('user', context.user)
  if (!URL.canParse(cluster.server)) {
    throw new TpxError(
      'KUBECONFIG_INVALID',
      `Cluster "${cluster.name}" of kubeconfig ${quoted(files)} has no valid server: "${cluster.server}"`,
    )
  }

  const plain = cluster.server.startsWith('http:')
  // As in Go, the proxy resolves the name, also where the scheme is socks5; client-node's library tells the two apart.
  const proxyUrl = (cluster.proxyUrl ?? proxyFor(new URL(cluster.server), env))?.replace(/^socks5:/, 'socks5h:')
  // client-node refuses plain HTTP unless certificate checks are off, which mean nothing there.
  const complete: Cluster = { ...cluster, skipTLSVerify: plain || cluster.skipTLSVerify, ...(proxyUrl ? { proxyUrl } : {}) }
  kubeConfig.clusters = kubeConfig.clusters.map((entry) => (entry.name === cluster.name ? complete : entry))
}

function addExtras(all: KubeconfigExtras, file: KubeconfigExtras): void {
  for (const [name, user] of file.users) if (!all.users.has(name)) all.users.set(name, user)
  for (const [name, config] of file.pluginConfigs) if (!all.pluginConfigs.has(name)) all.pluginConfigs.set(name, config)
}

function quoted(files: string[]): string {
  return files.map((file) => `"${file}"`).join(', ')
}
