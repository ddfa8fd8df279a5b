import { readFileSync } from 'node:fs'
import { dirname, isAbsolute, join } from 'node:path'
import { parse } from 'yaml'
import { messageOf, systemCode, TpxError } from '../base/error.ts'
import type { HostKubeConfig } from './client-config.ts'
import type { Impersonation } from './credentials.ts'
import type { ExecConfig } from './exec-plugin.ts'

/** What a kubeconfig says beyond what client-node keeps: of users by name, of clusters by name. */
export type KubeconfigExtras = {
  /** `extensions` with the name client.authentication.k8s.io/exec: for credential plugins that want it. */
  pluginConfigs: Map<string, unknown>
  users: Map<string, { exec?: ExecConfig; impersonate: Impersonation; tokenFile?: string }>
}

type RawUser = {
  as?: string
  'as-groups'?: string[]
  'as-uid'?: string
  'as-user-extra'?: Record<string, string[]>
  exec?: ExecConfig
  tokenFile?: string
}
type RawKubeconfig = {
  clusters?: { cluster?: { extensions?: { extension?: unknown; name?: string }[] } | null; name?: string }[]
  users?: { name?: string; user?: RawUser | null }[]
}

const PLUGIN_EXTENSION = 'client.authentication.k8s.io/exec'

/**
 * Reads one file; its relative paths are taken from its folder, as kubectl does.
 * @throws TpxError KUBECONFIG_INVALID
 */
export function readKubeconfigFile(kubeConfig: HostKubeConfig, file: string): KubeconfigExtras {
  try {
    const raw = parse(readFileSync(file, 'utf8'), { merge: true }) as RawKubeconfig | null
    if (typeof raw !== 'object' || raw === null) throw new Error(raw === null ? 'it is empty' : 'it is no kubeconfig')
    // JSON is YAML: client-node need not parse the original a second time, and both see the same.
    kubeConfig.loadFromString(JSON.stringify(raw))
    const folder = dirname(file)
    kubeConfig.makePathsAbsolute(folder)
    return extrasOf(raw, folder)
  } catch (cause) {
    const reason = systemCode(cause) ?? messageOf(cause).split('\n')[0]
    throw new TpxError('KUBECONFIG_INVALID', `Kubeconfig "${file}" cannot be read: ${reason}`, {
      cause,
      hint: 'Check the file with "kubectl config view"',
    })
  }
}

function extrasOf({ clusters, users }: RawKubeconfig, folder: string): KubeconfigExtras {
  const pluginConfigs = new Map<string, unknown>()
  for (const { cluster, name = '' } of listOf(clusters)) {
    const found = listOf(cluster?.extensions).find((one) => one.name === PLUGIN_EXTENSION)
    if (found) pluginConfigs.set(name, found.extension)
  }

  const byName: KubeconfigExtras['users'] = new Map(listOf(users).map(({ name = '', user }) => [name, userExtras(user ?? {}, folder)]))
  return { pluginConfigs, users: byName }
}

function userExtras(user: RawUser, folder: string): { exec?: ExecConfig; impersonate: Impersonation; tokenFile?: string } {
  const absolute = (path: string): string => (isAbsolute(path) ? path : join(folder, path))
  const { as, exec, tokenFile } = user
  return {
    // A bare name is looked for in PATH; anything with a separator is a path.
    ...(exec ? { exec: { ...exec, command: exec.command?.includes('/') ? absolute(exec.command) : exec.command } } : {}),
    impersonate: {
      ...(as ? { user: as } : {}),
      ...(user['as-uid'] ? { uid: user['as-uid'] } : {}),
      ...(user['as-groups']?.length ? { groups: user['as-groups'] } : {}),
      ...(user['as-user-extra'] ? { extra: user['as-user-extra'] } : {}),
    },
    ...(tokenFile ? { tokenFile: absolute(tokenFile) } : {}),
  }
}

function listOf<T>(list: T[] | null | undefined): T[] {
  return Array.isArray(list) ? list : []
}
