import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join, resolve } from 'node:path'
import { parse } from 'yaml'
import { messageOf, systemCode, TpxError } from '../base/error.ts'
import { closestTo } from '../kube/closest-name.ts'

/** What a connection is named and labelled by. */
export type KubeContext = { context: string; namespace: string }

type Config = { contexts?: { context?: { namespace?: string }; name: string }[]; 'current-context'?: string }

function readConfig(path: string, required: boolean): Config {
  try {
    return (parse(readFileSync(path, 'utf8')) as Config | null) ?? {}
  } catch (cause) {
    // kubectl skips files of $KUBECONFIG that are not there
    if (!required && systemCode(cause) === 'ENOENT') return {}
    throw new TpxError('KUBECONFIG_INVALID', `Cannot read the kubeconfig "${path}": ${messageOf(cause).split('\n', 1)[0]}`, {
      cause,
      hint: 'Check the path and the file with "kubectl config view"',
    })
  }
}

/**
 * The kubeconfig that a command means, as absolute paths joined as in $KUBECONFIG. The default file is spelled out, too: a link
 * that is started again from another shell must not take that shell's $KUBECONFIG.
 */
export function kubeconfigPaths(flag: string | undefined): string {
  const paths = flag || process.env['KUBECONFIG'] || join(process.env['HOME'] ?? homedir(), '.kube', 'config')
  const absolute = paths
    .split(delimiter)
    .filter(Boolean)
    .map((path) => resolve(path))
  return absolute.join(delimiter)
}

/**
 * Which context and namespace a command means, from the kubeconfig files alone: the client library is ten times slower to
 * load, and only the link needs it. Files of $KUBECONFIG are merged as kubectl does: the first that says something wins.
 * @throws TpxError KUBECONFIG_INVALID, CONTEXT_NOT_FOUND
 */
export function readKubeContext(options: { context: string | undefined; kubeconfig: string; namespace: string | undefined }): KubeContext {
  const paths = options.kubeconfig.split(delimiter).filter(Boolean)
  const configs = paths.map((path) => readConfig(path, paths.length === 1))
  const contexts = configs.flatMap((config) => config.contexts ?? [])
  const context = options.context ?? configs.map((config) => config['current-context']).find(Boolean)
  if (!context)
    throw new TpxError('KUBECONFIG_INVALID', `The kubeconfig "${paths.join(delimiter)}" has no current context`, {
      hint: 'Name one with --context, or run "kubectl config use-context"',
    })
  const found = contexts.find(({ name }) => name === context)
  if (!found) {
    const names = contexts.map(({ name }) => name).sort()
    const near = closestTo(context, names)
    throw new TpxError('CONTEXT_NOT_FOUND', `The kubeconfig "${paths.join(delimiter)}" has no context "${context}"`, {
      hint: `${near ? `Did you mean "${near}"? ` : ''}Contexts: ${names.join(', ') || 'none'}`,
    })
  }
  return { context, namespace: options.namespace ?? (found.context?.namespace || 'default') }
}
