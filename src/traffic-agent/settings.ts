// Environment of the sidecar: TPX_AGENT_CONFIG (JSON, wire/agent-config.ts); TPX_POD_IP, TPX_POD_NAME, TPX_POD_UID, TPX_POD_NAMESPACE
// (downward API); and the app containers' variables, each behind its container's prefix.
import * as v from 'valibot'
import { messageOf, TpxError } from '../base/error.ts'
import { AGENT_CONFIG_VARIABLE, AGENT_TOKEN_PATH, type AgentConfig, POD_IP_VARIABLE } from '../wire/agent-config.ts'

/** Everything the agent is told at start. `environment` holds secrets. */
export type Settings = {
  config: AgentConfig
  environment: Record<string, string>
  podIp: string
  podName: string
  podUid: string
  tokenPath: string
}

const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535))
const absolutePath = v.pipe(v.string(), v.startsWith('/'))

const agentConfig = v.object({
  apiPort: port,
  containers: v.array(
    v.object({
      environmentPrefix: v.string(),
      mounts: v.array(v.object({ path: absolutePath, readOnly: v.boolean(), root: absolutePath })),
      name: v.pipe(v.string(), v.nonEmpty()),
      ports: v.array(v.object({ agentPort: port, containerPort: port, name: v.string(), protocol: v.literal('TCP') })),
    }),
  ),
  logLevel: v.string(),
  managerCa: v.pipe(v.string(), v.includes('BEGIN CERTIFICATE')),
  managerHost: v.pipe(v.string(), v.nonEmpty()),
  managerPort: port,
  namespace: v.pipe(v.string(), v.nonEmpty()),
  workload: v.pipe(v.string(), v.nonEmpty()),
  workloadKind: v.string(),
}) satisfies v.GenericSchema<AgentConfig>

/**
 * Reads the settings.
 * @throws TpxError USAGE that names the variable, never its value
 */
export function parseSettings(environment: NodeJS.ProcessEnv): Settings {
  const get = (name: string): string => {
    const value = environment[name]
    if (!value) throw new TpxError('USAGE', `Environment variable "${name}" is missing`, { hint: 'The traffic-manager injects the agent.' })
    return value
  }

  const parsed = v.safeParse(agentConfig, parseJson(get(AGENT_CONFIG_VARIABLE)))
  if (!parsed.success) {
    const where = v.getDotPath(parsed.issues[0]) ?? 'the whole'
    throw new TpxError('USAGE', `Environment variable "${AGENT_CONFIG_VARIABLE}" is not valid at "${where}"`)
  }

  return {
    config: parsed.output,
    environment: Object.fromEntries(Object.entries(environment).filter((entry): entry is [string, string] => entry[1] !== undefined)),
    podIp: get(POD_IP_VARIABLE),
    podName: get('TPX_POD_NAME'),
    podUid: get('TPX_POD_UID'),
    tokenPath: AGENT_TOKEN_PATH,
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new TpxError('USAGE', `Environment variable "${AGENT_CONFIG_VARIABLE}" is no JSON`, { cause: messageOf(error) })
  }
}
