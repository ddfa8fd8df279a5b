import type { Container, PodSpec, Volume, VolumeMount } from './kubernetes-objects.ts'
import type { AgentMount } from '../wire/agent-config.ts'

/** Where the ServiceAccount admission plugin mounts the API token. It runs before all webhooks (AllOrderedPlugins), so the mount is there. */
const SERVICE_ACCOUNT_PATH = '/var/run/secrets/kubernetes.io/serviceaccount'

/** The volume mounts of one app container, for the sidecar and for the agent's configuration. */
export type CopiedMounts = { mounts: AgentMount[]; volumeMounts: VolumeMount[] }

/**
 * Mounts the volumes of every app container into the sidecar, below `/tpx/<container>`.
 * The API token is the exception: it is mounted at its own path, or else the plugin, which runs again after a webhook
 * changed a Pod, would add it there a second time.
 * @param rewriteExpression per container: what to do with a `subPathExpr`
 */
export function copyMounts(
  spec: PodSpec,
  rewriteExpression: (container: Container, index: number) => (text: string) => string,
): CopiedMounts[] {
  let tokenVolume: string | undefined
  return spec.containers.map((container, index) => {
    const copied: CopiedMounts = { mounts: [], volumeMounts: [] }
    for (const mount of container.volumeMounts ?? []) {
      const path = normalPath(mount.mountPath)
      const isToken = path === SERVICE_ACCOUNT_PATH && (tokenVolume === undefined || tokenVolume === mount.name)
      const root = isToken ? path : `/tpx/${container.name}${path}`
      copied.mounts.push({ path, readOnly: mount.readOnly === true || isAlwaysReadOnly(spec.volumes, mount.name), root })
      if (isToken && tokenVolume !== undefined) continue
      if (isToken) tokenVolume = mount.name
      copied.volumeMounts.push(copyMount(mount, root, rewriteExpression(container, index)))
    }

    return copied
  })
}

function copyMount(mount: VolumeMount, root: string, rewrite: (text: string) => string): VolumeMount {
  const copy: VolumeMount = { ...mount, mountPath: root }
  if (mount.subPathExpr) copy.subPathExpr = rewrite(mount.subPathExpr)
  // Bidirectional is for privileged containers only; the sidecar just has to see what the app mounts.
  if (mount.mountPropagation === 'Bidirectional') copy.mountPropagation = 'HostToContainer'
  return copy
}

/** Absolute, as the kubelet makes it, and without a slash at the end. */
function normalPath(mountPath: string): string {
  return `/${mountPath.replace(/^\/+/, '').replace(/\/+$/, '')}`
}

/** Volumes that the kubelet mounts read-only whatever the mount says. */
function isAlwaysReadOnly(volumes: readonly Volume[] | undefined, name: string): boolean {
  const volume = volumes?.find((candidate) => candidate.name === name)
  return Boolean(volume?.configMap ?? volume?.secret ?? volume?.downwardAPI ?? volume?.projected ?? volume?.image)
}
