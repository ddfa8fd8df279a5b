import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { TpxError } from '../base/error.ts'
import { type ClientConfig, mergeClientConfigs } from '../wire/client-config.ts'
import { checkClientConfig } from './check-client-config.ts'
import { ConfigDocument } from './config-document.ts'
import { readExtensions } from './kubeconfig-extension.ts'

/** What one source says, and its name for people. */
export type ConfigLayer = { config: ClientConfig; source: string }

/** What this host says about a connection, before a traffic-manager is asked. */
export type ClientConfigSources = {
  /** Everything merged; without defaults. */
  config: ClientConfig
  /** Where it comes from, the strongest first. */
  layers: ConfigLayer[]
  /** What was read over, in words. */
  warnings: string[]
}

type Environment = Readonly<Record<string, string | undefined>>

/** Environment variables that set a key. */
const VARIABLES: Record<string, (value: string) => unknown> = {
  TPX_LOG_LEVEL: (level) => ({ logLevels: { link: level, tunnel: level } }),
  TPX_MANAGER_NAMESPACE: (namespace) => ({ cluster: { defaultManagerNamespace: namespace } }),
  TPX_TUNNEL_IMAGE: (image) => ({ images: { tunnelImage: image } }),
}

/** Where config.yml is: $TPX_CONFIG, else in the XDG configuration directory. */
export function configPath(env: Environment = process.env): string {
  if (env['TPX_CONFIG']) return env['TPX_CONFIG']
  const xdg = env['XDG_CONFIG_HOME']
  // A relative path is to be ignored (XDG Base Directory Specification).
  return join(xdg && isAbsolute(xdg) ? xdg : join(env['HOME'] ?? homedir(), '.config'), 'tpx', 'config.yml')
}

/**
 * Reads every source of this host. Precedence: flags, environment variables, the kubeconfig's extension, config.yml; beneath them
 * the tunnel puts what the traffic-manager says.
 * @param options `flags`: what the command's flags set; `kubeconfig`: files joined as in $KUBECONFIG
 * @throws TpxError CONFIG_INVALID
 */
export function readClientConfig(
  options: { context: string | undefined; flags?: ClientConfig; kubeconfig: string },
  env: Environment = process.env,
): ClientConfigSources {
  const file = readFile(env)
  const extensions = readExtensions(options)
  const layers = [
    { config: options.flags ?? {}, source: 'flags' },
    ...readEnvironment(env),
    ...extensions.map(({ config, source }) => ({ config, source })),
    ...(file ? [{ config: file.config, source: `"${file.path}"` }] : []),
  ]
  return {
    config: mergeClientConfigs(layers.map(({ config }) => config)),
    layers,
    warnings: [...extensions.flatMap(({ warnings }) => warnings), ...(file?.warnings ?? [])],
  }
}

function readEnvironment(env: Environment): ConfigLayer[] {
  return Object.entries(VARIABLES).flatMap(([name, toConfig]) => {
    const value = env[name]
    if (!value) return []
    const { config } = checkClientConfig({ place: () => `Environment variable ${name}`, value: toConfig(value) })
    return [{ config, source: `environment variable ${name}` }]
  })
}

function readFile(env: Environment): { config: ClientConfig; path: string; warnings: string[] } | undefined {
  const path = configPath(env)
  const document = ConfigDocument.read(path)
  if (document) return { path, ...checkClientConfig({ place: (at) => document.place(at), value: document.value }) }
  if (env['TPX_CONFIG'])
    throw new TpxError('CONFIG_INVALID', `TPX_CONFIG names "${path}", which is not there`, { hint: 'Correct or unset it' })
  const other = path.replace(/\.yml$/, '.yaml')
  return existsSync(other) ? { config: {}, path: other, warnings: [`"${other}" is not read: the file's name is config.yml`] } : undefined
}
