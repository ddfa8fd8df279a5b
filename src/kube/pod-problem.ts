import type { ApiClient } from './api-client.ts'
import type { ContainerStatus, Pod } from './objects.ts'
import { newestWarning } from './pod-diagnosis.ts'

/** What does not mend by itself when it lasts for `afterMs`. */
export type Problem = { afterMs: number; hint: string; text: string }

/** A Pod that no node takes now may be taken when another one has gone. */
const UNSCHEDULABLE_MS = 10_000
const LOG_LINES = 5
const MAX_LOG_TEXT = 400

const IMAGE_REASONS = [
  'ErrImagePull',
  'ImagePullBackOff',
  'ErrImageNeverPull',
  'InvalidImageName',
  'ImageInspectError',
  'RegistryUnavailable',
]
const CONTAINER_REASONS = ['CreateContainerConfigError', 'CreateContainerError', 'RunContainerError']

/** Why a Pod of the traffic-manager will not start, in the words of the kubelet, the scheduler or the container's own log. */
export async function fatalPodProblem(api: ApiClient, pod: Pod): Promise<Problem | undefined> {
  for (const status of pod.status?.containerStatuses ?? []) {
    const problem = imageProblem(pod, status) ?? (await containerProblem(api, pod, status))
    if (problem) return problem
  }

  return scheduleProblem(pod)
}

function imageProblem(pod: Pod, { name, state }: ContainerStatus): Problem | undefined {
  const { message, reason = '' } = state?.waiting ?? {}
  if (!IMAGE_REASONS.includes(reason)) return undefined
  const image = pod.spec.containers.find((container) => container.name === name)?.image ?? ''
  const hint =
    reason === 'ErrImageNeverPull'
      ? `Load the image into every node, or set image.pullPolicy=IfNotPresent`
      : `Name an image that the nodes can pull with --set image.registry=…,image.tag=… (and image.imagePullSecrets), or load it into them, e.g. "kind load docker-image ${image}"`
  return { afterMs: 0, hint, text: `The nodes cannot get the image "${image}": ${reason}${message ? `: ${message}` : ''}` }
}

async function containerProblem(api: ApiClient, pod: Pod, status: ContainerStatus): Promise<Problem | undefined> {
  const { message, reason = '' } = status.state?.waiting ?? {}
  if (CONTAINER_REASONS.includes(reason)) {
    const said = message ?? (await newestWarning(api.kubeConfig, pod.metadata.namespace ?? '', pod.metadata.name))
    const text = `The container cannot be started: ${reason}${said ? `: ${said}` : ''}`
    return { afterMs: 0, hint: 'Keep the Pod with --keep-failed and look at it with "kubectl describe"', text }
  }

  // The first end may have a cause that passes; the kubelet tries again at once.
  const endedAgain = status.state?.terminated !== undefined && status.restartCount > 0
  if (reason !== 'CrashLoopBackOff' && !endedAgain) return undefined
  const log = await lastWords(api, pod, status)
  const hint = 'Keep the Pod with --keep-failed and read its log with "kubectl logs --previous"'
  return { afterMs: 0, hint, text: `The traffic-manager ${howEnded(status)}${log ? `: ${log}` : ''}` }
}

function howEnded({ lastState, state }: ContainerStatus): string {
  const ended = state?.terminated ?? lastState?.terminated
  return ended ? `ended with status ${ended.exitCode}${ended.reason ? ` (${ended.reason})` : ''}` : 'ends again and again'
}

function scheduleProblem({ status }: Pod): Problem | undefined {
  const condition = status?.conditions?.find(({ status, type }) => type === 'PodScheduled' && status === 'False')
  if (!condition) return undefined
  return {
    afterMs: UNSCHEDULABLE_MS,
    hint: 'Make room, or set resources, nodeSelector, tolerations or affinity',
    text: `No node takes the Pod: ${condition.reason ?? 'Unschedulable'}: ${condition.message ?? ''}`,
  }
}

/** The end of the container's log. */
async function lastWords(api: ApiClient, pod: Pod, { name, state }: ContainerStatus): Promise<string> {
  const { name: podName, namespace = '' } = pod.metadata
  const previous = state?.terminated ? '' : '&previous=true'
  const path = `/api/v1/namespaces/${namespace}/pods/${podName}/log?container=${name}&tailLines=${LOG_LINES}${previous}`
  const text = await api.text(path, { namespace, resource: 'pods/log', verb: 'get' }).catch(() => '')
  return text.trim().slice(-MAX_LOG_TEXT)
}
