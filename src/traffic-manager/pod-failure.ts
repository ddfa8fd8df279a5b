import type { ContainerStatus, Pod } from './kubernetes-objects.ts'
import type { WarningEvent, WorkloadRef } from './cluster-access.ts'
import { hasAgent } from './inject.ts'

/** Why an agent will not come, in the cluster's own words. */
export type PodFailure = { hint: string; text: string }

/** Waiting reasons of a container that do not pass by themselves (k8s.io/kubernetes/pkg/kubelet/images, kuberuntime). */
const FATAL_WAITING = new Set([
  'CrashLoopBackOff',
  'CreateContainerConfigError',
  'CreateContainerError',
  'ErrImageNeverPull',
  'ErrImagePull',
  'ImageInspectError',
  'ImagePullBackOff',
  'InvalidImageName',
  'RunContainerError',
])
const MAX_TEXT = 400
/** What generated names end with: no vowels (k8s.io/apimachinery/pkg/util/rand). */
const RANDOM = '[b-df-hj-np-tv-xz2-9]+'

/**
 * Looks for what keeps a roll-out from bringing an agent.
 * @param pods the Pods that the roll-out made
 * @param warnings events that came since it began
 */
export function failureOf(ref: WorkloadRef, pods: readonly Pod[], warnings: readonly WarningEvent[]): PodFailure | undefined {
  for (const pod of pods) {
    const failure = uninjected(pod, ref) ?? stuckContainer(pod, warnings) ?? unschedulable(pod)
    if (failure) return failure
  }

  return refusedPod(ref, warnings)
}

/** Tells whether an event is about the workload, its ReplicaSets or its Pods, as their controllers name them. */
export function isAbout(ref: WorkloadRef, { kind, name }: WarningEvent): boolean {
  if (kind === ref.kind && name === ref.name) return true
  if (!name.startsWith(`${ref.name}-`) || (kind !== 'Pod' && kind !== 'ReplicaSet')) return false
  const rest = name.slice(ref.name.length + 1)
  if (ref.kind === 'StatefulSet') return /^\d+$/.test(rest)
  if (ref.kind === 'ReplicaSet') return new RegExp(`^${RANDOM}$`).test(rest)
  return new RegExp(kind === 'Pod' ? `^${RANDOM}-${RANDOM}$` : `^${RANDOM}$`).test(rest)
}

function uninjected(pod: Pod, { namespace }: WorkloadRef): PodFailure | undefined {
  if (hasAgent(pod)) return undefined
  return {
    text: `Pod "${nameOf(pod)}" was created without the traffic-agent: the admission webhook was not called, or failed`,
    hint: `The API server must reach Service "agent-injector" of the manager's namespace (a firewall may block port 8443 of the nodes), and namespace "${namespace}" must not be excluded; see the traffic-manager's log`,
  }
}

function stuckContainer(pod: Pod, warnings: readonly WarningEvent[]): PodFailure | undefined {
  const { containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {}
  const stuck = [...initContainerStatuses, ...containerStatuses].find(({ state }) => FATAL_WAITING.has(state?.waiting?.reason ?? ''))
  const waiting = stuck?.state?.waiting
  if (!stuck || !waiting) return undefined
  const detail = waiting.reason === 'CrashLoopBackOff' ? lastEnd(stuck) : (pullFailure(pod, stuck, warnings) ?? waiting.message)
  return {
    text: shorten(`container "${stuck.name}" of Pod "${nameOf(pod)}" cannot start: ${waiting.reason}${detail ? `: ${detail}` : ''}`),
    hint: isImageReason(waiting.reason)
      ? `Nodes must be able to pull "${stuck.image}"`
      : `See "kubectl -n ${pod.metadata?.namespace} logs ${nameOf(pod)} -c ${stuck.name}" and "kubectl -n ${pod.metadata?.namespace} describe pod ${nameOf(pod)}"`,
  }
}

function isImageReason(reason: string | undefined): boolean {
  return /Image/.test(reason ?? '')
}

/** "ImagePullBackOff" only says that it waits; the event says why. */
function pullFailure(pod: Pod, { image }: ContainerStatus, warnings: readonly WarningEvent[]): string | undefined {
  return warnings.find(({ message, name, reason }) => name === nameOf(pod) && reason === 'Failed' && message.includes(`image "${image}"`))
    ?.message
}

function lastEnd({ lastState }: ContainerStatus): string | undefined {
  const end = lastState?.terminated
  if (!end) return undefined
  return end.message?.trim() || `it ended with exit code ${end.exitCode}${end.reason && end.reason !== 'Error' ? ` (${end.reason})` : ''}`
}

function unschedulable(pod: Pod): PodFailure | undefined {
  const condition = pod.status?.conditions?.find(
    ({ reason, status, type }) => type === 'PodScheduled' && status === 'False' && reason === 'Unschedulable',
  )
  return (
    condition && {
      text: shorten(`Pod "${nameOf(pod)}" fits on no node: ${condition.message ?? 'Unschedulable'}`),
      hint: 'A roll-out needs room for one more Pod, and the traffic-agent asks for 10m CPU and 64Mi memory on top',
    }
  )
}

/** Quotas, PodSecurity and other admission: the controller cannot create the Pod at all. */
function refusedPod(ref: WorkloadRef, warnings: readonly WarningEvent[]): PodFailure | undefined {
  const event = warnings.find((warning) => warning.reason === 'FailedCreate' && isAbout(ref, warning))
  return (
    event && {
      text: shorten(`the cluster refuses the Pod: ${event.message}`),
      hint: 'The roll-out was taken back; a quota, a LimitRange or an admission policy of the namespace must allow the traffic-agent',
    }
  )
}

function nameOf({ metadata }: Pod): string {
  return metadata?.name ?? ''
}

function shorten(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim()
  return line.length > MAX_TEXT ? `${line.slice(0, MAX_TEXT)}…` : line
}
