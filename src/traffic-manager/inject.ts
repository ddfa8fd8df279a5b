import { dirname } from 'node:path/posix'
import type { Container, EnvVar, Pod, PodSpec, ResourceRequirements, SecurityContext, Service } from './kubernetes-objects.ts'
import { INJECTED_ANNOTATION } from '../base/annotations.ts'
import { TpxError } from '../base/error.ts'
import { VERSION } from '../base/version.ts'
import { AGENT_CONFIG_VARIABLE, AGENT_TOKEN_PATH, type AgentConfig, POD_IP_VARIABLE } from '../wire/agent-config.ts'
import { AGENT_CONTAINER, AGENT_TOKEN_AUDIENCE } from '../wire/versions.ts'
import { copyEnvironment, expressionRewriter } from './inject-environment.ts'
import { takePorts } from './inject-ports.ts'
import { copyMounts } from './inject-volumes.ts'
import { append, type JsonPatchOperation, setKey } from './json-patch.ts'

/** What all agents of an installation have in common. */
export type AgentSettings = {
  /** Empty in an installation without injector. */
  image: string
  imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never'
  logLevel: string
  /** PEM of the CA that signed the manager's certificate. */
  managerCa: string
  managerHost: string
  managerPort: number
  /** Of the sidecar; undefined: {@link resourcesFor} decides. */
  resources?: ResourceRequirements | undefined
}

/** What the sidecar of one Pod depends on besides the Pod. */
export type InjectConfig = {
  agent: AgentSettings
  namespace: string
  services: readonly Service[]
  workload: string
  workloadKind: string
}

const TOKEN_VOLUME = 'tpx-agent-token'
/** User of the sidecar where the Pod names none; also the image's. */
const AGENT_USER = 7439
/** A ServiceAccount token's least life is 600 s; the kubelet renews it at 80 %. */
const TOKEN_SECONDS = 3600
/** The agent listens after 0.2 s; a node that is this slow restarts it. */
const START_MS = 20_000

/**
 * The JSON Patch that adds the traffic-agent to a Pod as a native sidecar (Kubernetes ≥ 1.29) and moves the names of its
 * ports to it. Empty when the Pod has an agent already.
 * @throws TpxError PORT_NOT_SUPPORTED for Pods that cannot have a sidecar: host network, Windows
 */
export function inject(pod: Pod, config: InjectConfig): JsonPatchOperation[] {
  const { spec } = pod
  if (!spec || hasAgent(pod)) return []
  refuseUnfit(spec)
  const ports = takePorts(pod, config.services)
  const services = config.services.flatMap(({ metadata }) => metadata?.name ?? [])
  const environments = spec.containers.map((container, index) => copyEnvironment(container, index, services))
  const mounts = copyMounts(spec, (container, index) => expressionRewriter(container, index, services))
  const agentConfig: AgentConfig = {
    apiPort: ports.apiPort,
    containers: spec.containers.map(({ name }, index) => ({
      environmentPrefix: environments[index]!.prefix,
      mounts: mounts[index]!.mounts,
      name,
      ports: ports.ports.get(index) ?? [],
    })),
    logLevel: config.agent.logLevel,
    managerCa: config.agent.managerCa,
    managerHost: config.agent.managerHost,
    managerPort: config.agent.managerPort,
    namespace: config.namespace,
    workload: config.workload,
    workloadKind: config.workloadKind,
  }
  const envFrom = environments.flatMap((environment) => environment.envFrom)
  const agentPorts = [...ports.ports.values()].flat()
  const sidecar: Container = {
    name: AGENT_CONTAINER,
    image: config.agent.image,
    imagePullPolicy: config.agent.imagePullPolicy,
    restartPolicy: 'Always',
    args: ['agent'],
    lifecycle: { postStart: { exec: { command: waitCommand([ports.apiPort, ...agentPorts.map(({ agentPort }) => agentPort)]) } } },
    env: [...environments.flatMap(({ env }) => env), ...ownEnvironment(agentConfig)],
    ...(envFrom.length ? { envFrom } : {}),
    ports: agentPorts.map(({ agentPort, name }) => ({ containerPort: agentPort, name, protocol: 'TCP' })),
    resources: config.agent.resources ?? resourcesFor(spec),
    securityContext: securityContextFor(spec, ports.ports.keys().next().value ?? 0),
    volumeMounts: [
      ...mounts.flatMap(({ volumeMounts }) => volumeMounts),
      { name: TOKEN_VOLUME, mountPath: dirname(AGENT_TOKEN_PATH), readOnly: true },
    ],
  }
  const token = {
    audience: AGENT_TOKEN_AUDIENCE,
    expirationSeconds: TOKEN_SECONDS,
    path: AGENT_TOKEN_PATH.slice(dirname(AGENT_TOKEN_PATH).length + 1),
  }
  return [
    ...ports.patch,
    // Last of the init containers: what runs before needs no agent, and the agent must be up before the app.
    append(spec.initContainers, '/spec/initContainers', sidecar),
    append(spec.volumes, '/spec/volumes', { name: TOKEN_VOLUME, projected: { sources: [{ serviceAccountToken: token }] } }),
    setKey(pod.metadata?.annotations, '/metadata/annotations', INJECTED_ANNOTATION, VERSION),
  ]
}

/** Tells whether a Pod carries a traffic-agent, ours or Telepresence's. */
export function hasAgent({ spec }: Pod): boolean {
  return [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].some(({ name }) => name === AGENT_CONTAINER)
}

/** The configuration that an injected Pod's agent was given, or undefined. */
export function agentConfigOf({ spec }: Pod): AgentConfig | undefined {
  const sidecar = spec?.initContainers?.find(({ name }) => name === AGENT_CONTAINER)
  const text = sidecar?.env?.find(({ name }) => name === AGENT_CONFIG_VARIABLE)?.value
  try {
    return text === undefined ? undefined : (JSON.parse(text.replaceAll('$$', '$')) as AgentConfig)
  } catch {
    return undefined
  }
}

/** Why a Pod of this specification cannot have an agent, or undefined. */
export function obstacleOf(spec: PodSpec | undefined): string | undefined {
  if (spec?.hostNetwork) return 'its Pods use the host network, where the names of ports belong to the node'
  return spec?.os?.name === 'windows' ? 'its Pods run on Windows nodes' : undefined
}

function refuseUnfit(spec: PodSpec): void {
  const obstacle = obstacleOf(spec)
  if (obstacle) throw new TpxError('PORT_NOT_SUPPORTED', `The workload cannot have a traffic-agent: ${obstacle}`)
}

function ownEnvironment(config: AgentConfig): EnvVar[] {
  const field = (name: string, fieldPath: string): EnvVar => ({ name, valueFrom: { fieldRef: { fieldPath } } })
  return [
    field(POD_IP_VARIABLE, 'status.podIP'),
    field('TPX_POD_NAME', 'metadata.name'),
    field('TPX_POD_UID', 'metadata.uid'),
    field('TPX_POD_NAMESPACE', 'metadata.namespace'),
    // "$$" is the escape of "$" in a value, so that no "$(...)" of a path is expanded.
    { name: AGENT_CONFIG_VARIABLE, value: JSON.stringify(config).replaceAll('$', '$$$$') },
  ]
}

/**
 * Waits until the agent listens; the kubelet starts the app after that, and runs this once. A probe would connect to a
 * relayed port again and again, that is to the app or to the developer, and cost up to its period of 1 s.
 */
function waitCommand(ports: readonly number[]): string[] {
  const script = `const net=require('net'),end=Date.now()+${START_MS},ports=[${ports.join()}];(function next(){\
if(!ports.length)process.exit(0);const socket=net.connect(ports[0],'127.0.0.1');\
socket.on('connect',()=>{socket.destroy();ports.shift();next()});\
socket.on('error',()=>Date.now()<end?setTimeout(next,20):process.exit(1))})()`
  return ['node', '-e', script]
}

/**
 * The memory limit protects the node and the Pod's other containers; the agent's peak under load is about 110 MB. A limit
 * of CPU would slow the relay down, so there is one only where all app containers have one: then a ResourceQuota may ask for it.
 */
function resourcesFor({ containers }: PodSpec): ResourceRequirements {
  const limitsCpu = containers.every(({ resources }) => resources?.limits?.['cpu'] !== undefined)
  return { limits: { memory: '256Mi', ...(limitsCpu ? { cpu: '1' } : {}) }, requests: { cpu: '10m', memory: '64Mi' } }
}

/**
 * What PodSecurity "restricted" asks for. The app's user, so that its files can be read; but never root: a root app's
 * files are served as far as user 7439 may read them.
 * @param index the container whose user counts
 */
function securityContextFor(spec: PodSpec, index: number): SecurityContext {
  const own = spec.containers[index]?.securityContext
  const user = own?.runAsUser ?? spec.securityContext?.runAsUser
  return {
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'] },
    readOnlyRootFilesystem: true,
    runAsNonRoot: true,
    runAsUser: user || AGENT_USER,
    ...(own?.runAsGroup === undefined ? {} : { runAsGroup: own.runAsGroup }),
    seccompProfile: { type: 'RuntimeDefault' },
  }
}
