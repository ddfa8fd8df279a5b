// What the webhook tells the agent that it injects: JSON in the environment variable TPX_AGENT_CONFIG of the sidecar.

/** Name of the environment variable. */
export const AGENT_CONFIG_VARIABLE = 'TPX_AGENT_CONFIG'
/** File of the projected ServiceAccount token (audience: AGENT_TOKEN_AUDIENCE) in the sidecar. */
export const AGENT_TOKEN_PATH = '/var/run/secrets/tpx.dev/token'
/** Environment variable with the Pod's address (downward API status.podIP), read at start. Also TPX_POD_NAME, TPX_POD_UID, TPX_POD_NAMESPACE. */
export const POD_IP_VARIABLE = 'TPX_POD_IP'

/** A port that the agent relays: it took over the container port's name. */
export type AgentPort = { agentPort: number; containerPort: number; name: string; protocol: 'TCP' }

/** A volume of the app container, mounted into the sidecar at `root` as well. */
export type AgentMount = { path: string; readOnly: boolean; root: string }

/** One app container of the Pod. Its environment is in the sidecar's own, each name behind `environmentPrefix`. */
export type AgentContainer = {
  environmentPrefix: string
  mounts: AgentMount[]
  name: string
  ports: AgentPort[]
}

/** Everything the agent must know that it cannot see for itself. */
export type AgentConfig = {
  apiPort: number
  containers: AgentContainer[]
  logLevel: string
  /** PEM of the CA that signed the manager's certificate. */
  managerCa: string
  managerHost: string
  managerPort: number
  namespace: string
  workload: string
  workloadKind: string
}
