import { accessSync, constants, readFileSync } from 'node:fs'
import type { KubeConfig, User } from '@kubernetes/client-node'
import { systemCode, TpxError } from '../base/error.ts'
import type { HostKubeConfig } from './client-config.ts'
import { Credentials, type Impersonation } from './credentials.ts'
import type { ExecConfig, ExecPlugin } from './exec-plugin.ts'
import type { KubeconfigOptions } from './kubeconfig.ts'
import type { KubeconfigExtras } from './kubeconfig-file.ts'

/**
 * Checks the files that the context names, so that they are not met as a failed request.
 * @throws TpxError KUBECONFIG_INVALID
 */
export function checkFiles(kubeConfig: KubeConfig): void {
  const { caFile } = kubeConfig.getCurrentCluster() ?? {}
  const { certFile, keyFile } = kubeConfig.getCurrentUser() ?? {}
  for (const [key, file] of Object.entries({ 'certificate-authority': caFile, 'client-certificate': certFile, 'client-key': keyFile })) {
    if (!file) continue
    try {
      accessSync(file, constants.R_OK)
    } catch (cause) {
      throw new TpxError(
        'KUBECONFIG_INVALID',
        `The file "${file}" that context "${kubeConfig.getCurrentContext()}" names as ${key} cannot be read: ${systemCode(cause)}`,
        { cause, hint: 'Check the file with "kubectl config view"' },
      )
    }
  }
}

/**
 * Takes over from client-node what that does not do as kubectl does.
 * @throws TpxError USAGE, KUBECONFIG_INVALID
 */
export function completeUser(kubeConfig: HostKubeConfig, extras: KubeconfigExtras, options: KubeconfigOptions): void {
  const user = kubeConfig.getCurrentUser()
  if (!user) return
  const { exec, impersonate = {}, tokenFile } = extras.users.get(user.name) ?? {}
  const { exec: _exec, impersonateUser: _as, token, ...rest } = user
  // As kubectl: a token file wins over a token, and a token over a plugin.
  useUser(kubeConfig, { ...rest, ...(token && !tokenFile ? { token } : {}) })
  kubeConfig.credentials = new Credentials({
    impersonate: impersonation(impersonate, options),
    ...(exec && !token && !tokenFile ? { plugin: pluginOf(kubeConfig, extras, exec) } : {}),
    ...(tokenFile ? { tokenFile } : {}),
  })
}

/** Puts a user in the place of the context's. */
export function useUser(kubeConfig: KubeConfig, user: User): void {
  const current = kubeConfig.getCurrentContext()
  kubeConfig.users = [...kubeConfig.users.filter(({ name }) => name !== user.name), user]
  kubeConfig.contexts = kubeConfig.contexts.map((entry) => (entry.name === current ? { ...entry, user: user.name } : entry))
}

/** Each flag wins over the same word of the kubeconfig. */
function impersonation(own: Impersonation, { as, asGroups, asUid }: KubeconfigOptions): Impersonation {
  const whole = {
    ...own,
    ...(as ? { user: as } : {}),
    ...(asUid ? { uid: asUid } : {}),
    ...(asGroups?.length ? { groups: asGroups } : {}),
  }
  if (!whole.user && Object.keys(whole).length)
    throw new TpxError('USAGE', 'Impersonated groups, uid or extra need an impersonated user', { hint: 'Pass --as USER, too' })
  return whole
}

function pluginOf(kubeConfig: KubeConfig, extras: KubeconfigExtras, config: ExecConfig): ExecPlugin {
  const context = kubeConfig.getCurrentContext()
  if (!config.command)
    throw new TpxError('KUBECONFIG_INVALID', `The credential plugin of context "${context}" has no command`, {
      hint: 'Check users[].user.exec with "kubectl config view"',
    })
  return { cluster: config.provideClusterInfo ? clusterInfo(kubeConfig, extras) : {}, config, context }
}

/** `spec.cluster` of an ExecCredential; JSON leaves out what is undefined. */
function clusterInfo(kubeConfig: KubeConfig, { pluginConfigs }: KubeconfigExtras): object {
  const cluster = kubeConfig.getCurrentCluster()
  return {
    'certificate-authority-data': cluster?.caData ?? (cluster?.caFile && readFileSync(cluster.caFile).toString('base64')),
    config: pluginConfigs.get(cluster?.name ?? ''),
    'insecure-skip-tls-verify': cluster?.skipTLSVerify || undefined,
    'proxy-url': cluster?.proxyUrl,
    server: cluster?.server,
    'tls-server-name': cluster?.tlsServerName,
  }
}
