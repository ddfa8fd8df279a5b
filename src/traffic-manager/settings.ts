// Environment: POD_NAMESPACE, POD_IP, POD_NAME (downward API); LOG_LEVEL; AGENT_IMAGE, AGENT_IMAGE_PULL_POLICY; AGENT_LOG_LEVEL;
// CLUSTER_DOMAIN. AGENT_RESOURCES (JSON of a container's
// resources). For trials outside of a Pod also TPX_API_PORT, TPX_AGENT_API_PORT, TPX_WEBHOOK_PORT (0: any) and RESOLV_CONF (a file).
import { readFileSync } from 'node:fs'
import { TpxError } from '../base/error.ts'
import type { ResourceRequirements } from './kubernetes-objects.ts'
import { MANAGER_AGENT_PORT, MANAGER_API_PORT, MANAGER_WEBHOOK_PORT } from '../wire/versions.ts'
import { clusterDomainOf, parseResolvConf } from '../dns/resolv-conf.ts'

const PULL_POLICIES = ['Always', 'IfNotPresent', 'Never'] as const

/** Everything that the traffic-manager is told at start. */
export type Settings = {
  agentApiPort: number
  agentImage: string
  agentImagePullPolicy: (typeof PULL_POLICIES)[number]
  agentLogLevel: string
  /** Resources of the sidecar; undefined: tpx decides. */
  agentResources: ResourceRequirements | undefined
  apiPort: number
  /** Without trailing dot. */
  clusterDomain: string
  injectorAddress: string | undefined
  logLevel: string
  nameservers: string[]
  /** The manager's namespace. */
  namespace: string
  /** Empty outside of a Pod. */
  podIp: string
  podName: string
  webhookPort: number
}

/**
 * Reads the settings.
 * @throws TpxError USAGE that names the variable
 */
export function parseSettings(env: NodeJS.ProcessEnv): Settings {
  const namespace = env['POD_NAMESPACE']
  if (!namespace) throw new TpxError('USAGE', 'Environment variable "POD_NAMESPACE" is missing', { hint: 'The chart sets it' })
  const policy = PULL_POLICIES.find((known) => known === (env['AGENT_IMAGE_PULL_POLICY'] || 'IfNotPresent'))
  if (!policy) throw new TpxError('USAGE', `Environment variable "AGENT_IMAGE_PULL_POLICY" is not one of ${PULL_POLICIES.join(', ')}`)
  const resolvConf = parseResolvConf(readFileSync(env['RESOLV_CONF'] || '/etc/resolv.conf', 'utf8'))
  const logLevel = env['LOG_LEVEL'] || 'info'
  return {
    agentApiPort: portOf(env, 'TPX_AGENT_API_PORT', MANAGER_AGENT_PORT),
    agentImage: env['AGENT_IMAGE'] ?? '',
    agentImagePullPolicy: policy,
    agentResources: parseResources(env['AGENT_RESOURCES']),
    agentLogLevel: env['AGENT_LOG_LEVEL'] || logLevel,
    apiPort: portOf(env, 'TPX_API_PORT', MANAGER_API_PORT),
    clusterDomain: env['CLUSTER_DOMAIN']?.replace(/\.$/, '') || clusterDomainOf(resolvConf) || 'cluster.local',
    // Set by the kubelet for the Service agent-injector of the same namespace.
    injectorAddress: env['AGENT_INJECTOR_SERVICE_HOST'],
    logLevel,
    nameservers: resolvConf.nameservers,
    namespace,
    podIp: env['POD_IP'] ?? '',
    podName: env['POD_NAME'] ?? '',
    webhookPort: portOf(env, 'TPX_WEBHOOK_PORT', MANAGER_WEBHOOK_PORT),
  }
}

/** @throws TpxError USAGE when it is no JSON object */
function parseResources(text: string | undefined): ResourceRequirements | undefined {
  if (!text) return undefined
  try {
    const value: unknown = JSON.parse(text)
    if (value && typeof value === 'object' && !Array.isArray(value)) return value
  } catch {
    // said below
  }
  throw new TpxError('USAGE', `Environment variable "AGENT_RESOURCES" is not a JSON object: "${text}"`, {
    hint: 'The chart makes it of agent.resources',
  })
}

function portOf(env: NodeJS.ProcessEnv, name: string, usual: number): number {
  const port = env[name] ? Number(env[name]) : usual
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new TpxError('USAGE', `Environment variable "${name}" is no port`)
  return port
}
