import type { Container, EnvFromSource, EnvVar } from './kubernetes-objects.ts'

/** The environment of an app container under a prefix, as the kubelet would compute it for the app. */
export type CopiedEnvironment = { env: EnvVar[]; envFrom: EnvFromSource[]; prefix: string }

/**
 * Copies env and envFrom so that the sidecar sees every value under `prefix` + name: the kubelet resolves ConfigMaps,
 * Secrets and fields, and the manager needs no right to read them. Unprefixed, PATH or NODE_OPTIONS would break the agent.
 * @param serviceNames names of the namespace's Services: their variables are in every container, unprefixed
 */
export function copyEnvironment(container: Container, index: number, serviceNames: readonly string[]): CopiedEnvironment {
  const prefix = environmentPrefix(index)
  const isCopied = copiedNames(container, serviceNames)
  const earlier = new Set<string>()
  const env = (container.env ?? []).map((variable) => {
    const copy = copyVariable(variable, container.name, (text) =>
      prefixReferences(text, prefix, (name) => earlier.has(name) || isCopied(name)),
    )
    earlier.add(variable.name)
    return { ...copy, name: prefix + variable.name }
  })
  const envFrom = (container.envFrom ?? []).map((source) => ({ ...source, prefix: prefix + (source.prefix ?? '') }))
  return { env, envFrom, prefix }
}

/** `TPXA_<index of the container>_`. */
export function environmentPrefix(index: number): string {
  return `TPXA_${index}_`
}

/** Rewrites `$(NAME)` of copied names to the prefixed name; `$$` escapes (k8s.io/kubernetes/third_party/forked/golang/expansion). */
export function prefixReferences(text: string, prefix: string, isCopied: (name: string) => boolean): string {
  return text.replace(/\$\$|\$\(([^)]*)\)/g, (match: string, name: string | undefined) =>
    name !== undefined && isCopied(name) ? `$(${prefix}${name})` : match,
  )
}

function copyVariable(variable: EnvVar, containerName: string, rewrite: (text: string) => string): EnvVar {
  if (variable.value) return { ...variable, value: rewrite(variable.value) }
  const resource = variable.valueFrom?.resourceFieldRef
  // Without a name it would mean the sidecar's own limits.
  if (!resource || resource.containerName) return { ...variable }
  return { ...variable, valueFrom: { resourceFieldRef: { ...resource, containerName } } }
}

/** Which names an envFrom may bring; their keys are not known here. Service variables stay: the sidecar has them, too. */
function copiedNames({ envFrom }: Container, serviceNames: readonly string[]): (name: string) => boolean {
  const prefixes = (envFrom ?? []).map((source) => source.prefix ?? '')
  const services = new Set(['KUBERNETES', ...serviceNames.map((name) => name.toUpperCase().replaceAll('-', '_'))])
  const isServiceVariable = (name: string): boolean => {
    const [, service] = /^(.+?)_(?:SERVICE_HOST|SERVICE_PORT|PORT)(?:_.+)?$/.exec(name) ?? []
    return service !== undefined && services.has(service)
  }
  return (name) => prefixes.some((prefix) => name.startsWith(prefix)) && !isServiceVariable(name)
}

/** For `subPathExpr`: the kubelet expands it with the whole environment of the container. */
export function expressionRewriter(container: Container, index: number, serviceNames: readonly string[]): (text: string) => string {
  const names = new Set((container.env ?? []).map(({ name }) => name))
  const isCopied = copiedNames(container, serviceNames)
  return (text) => prefixReferences(text, environmentPrefix(index), (name) => names.has(name) || isCopied(name))
}
