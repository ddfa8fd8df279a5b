import { existsSync, readFileSync } from 'node:fs'
import { delimiter } from 'node:path'
import { checkClientConfig } from './check-client-config.ts'
import type { ClientConfig } from '../wire/client-config.ts'
import { ConfigDocument } from './config-document.ts'
import { modernExtension } from './telepresence-keys.ts'

/** Names of the extension, the first wins. */
const NAMES = ['tpx.dev', 'telepresence.io'] as const

type Extension = { extension?: unknown; name?: string }
type Kubeconfig = {
  clusters?: { cluster?: { extensions?: Extension[] }; name?: string }[] | null
  contexts?: { context?: { cluster?: string }; name?: string }[] | null
  'current-context'?: string
}

/** What one extension says. */
export type ExtensionConfig = { config: ClientConfig; source: string; warnings: string[] }

/**
 * What the kubeconfig's entry of a cluster says: `extensions: [{name: tpx.dev, extension: {…}}]`, for compatibility also under the
 * name `telepresence.io`. Files that are not there or are no YAML say nothing here: whoever needs the cluster reports them.
 * @throws TpxError CONFIG_INVALID when an extension is not valid
 */
export function readExtensions(options: { context: string | undefined; kubeconfig: string }): ExtensionConfig[] {
  const files = options.kubeconfig.split(delimiter).filter((file) => file && mentions(file))
  if (files.length === 0) return []
  const all = options.kubeconfig.split(delimiter).flatMap((file) => documentOf(file) ?? [])
  const configs = all.map((document) => ({ document, kubeconfig: (document.value ?? {}) as Kubeconfig }))
  const context = options.context ?? configs.map(({ kubeconfig }) => kubeconfig['current-context']).find(Boolean)
  const contexts = configs.flatMap(({ kubeconfig }) => kubeconfig.contexts ?? [])
  const cluster = contexts.find(({ name }) => name === context)?.context?.cluster
  for (const { document, kubeconfig } of configs) {
    const index = (kubeconfig.clusters ?? []).findIndex(({ name }) => name === cluster)
    if (index < 0) continue
    const extensions = kubeconfig.clusters?.[index]?.cluster?.extensions ?? []
    return NAMES.flatMap((name) => {
      const at = extensions.findIndex((extension) => extension.name === name)
      return at < 0
        ? []
        : [readOne({ document, path: ['clusters', index, 'cluster', 'extensions', at, 'extension'] }, name, extensions[at]?.extension)]
    })
  }
  return []
}

function readOne(
  { document, path }: { document: ConfigDocument; path: (number | string)[] },
  name: (typeof NAMES)[number],
  value: unknown,
): ExtensionConfig {
  const isForeign = name === 'telepresence.io'
  const { config, warnings } = checkClientConfig({
    isForeign,
    place: (inner) => `${document.place([...path, ...inner])} (extension "${name}")`,
    value: isForeign ? modernExtension(value) : value,
  })
  return { config, source: `kubeconfig "${document.file}", extension "${name}"`, warnings }
}

/** Parsing a big kubeconfig takes longer than looking for a word in it. */
function mentions(file: string): boolean {
  try {
    const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
    return NAMES.some((name) => text.includes(name))
  } catch {
    return false
  }
}

function documentOf(file: string): ConfigDocument | undefined {
  try {
    return ConfigDocument.read(file)
  } catch {
    return undefined
  }
}
