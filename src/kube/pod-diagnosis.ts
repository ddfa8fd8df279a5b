import type { KubeConfig } from '@kubernetes/client-node'
import { apiGet } from './api-request.ts'
import type { ContainerStatus, List, Pod } from './objects.ts'

/** Why a Pod is not ready. `passes`: it may well become ready by itself within seconds. */
export type Diagnosis = { passes: boolean; text: string }

const STARTING = ['ContainerCreating', 'PodInitializing', '']

/** What the Pod's own status says; the first container with a complaint speaks. */
export function diagnosePod({ metadata, status = {} }: Pod): Diagnosis {
  if (metadata.deletionTimestamp) return { passes: true, text: 'it is being deleted' }
  const containers = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])]
  const complaint = containers.map(complaintOf).find((text) => text !== undefined) ?? podComplaint(status)
  if (complaint !== undefined) return { passes: false, text: complaint }
  return { passes: true, text: status.phase === 'Running' ? 'it is running but not ready yet' : 'it is starting' }
}

function podComplaint({ conditions, message, phase, reason }: NonNullable<Pod['status']>): string | undefined {
  const scheduled = conditions?.find(({ status, type }) => type === 'PodScheduled' && status === 'False')
  if (scheduled) return `${scheduled.reason ?? 'Unschedulable'}: ${scheduled.message ?? 'no node takes it'}`
  return phase === 'Failed' ? `${reason ?? 'Failed'}: ${message ?? 'the Pod failed'}` : undefined
}

function complaintOf({ lastState, name, restartCount, state }: ContainerStatus): string | undefined {
  const waiting = state?.waiting
  if (waiting && !STARTING.includes(waiting.reason ?? '')) {
    const last = lastState?.terminated
    const ended = last ? ` (ended with status ${last.exitCode}${last.reason ? `, ${last.reason}` : ''}; ${restartCount} restarts)` : ''
    return `container "${name}": ${waiting.reason}${waiting.message ? `: ${waiting.message}` : ''}${ended}`
  }

  const { terminated } = state ?? {}
  if (terminated && terminated.exitCode !== 0)
    return `container "${name}" ended with status ${terminated.exitCode}${terminated.reason ? ` (${terminated.reason})` : ''}`
  return undefined
}

type Event = { lastTimestamp?: string | null; message?: string; metadata: { creationTimestamp?: string }; reason?: string; type?: string }

/** Text of the newest warning event about a Pod, or undefined: events are a courtesy, so no failure of this request counts. */
export async function newestWarning(kubeConfig: KubeConfig, namespace: string, pod: string): Promise<string | undefined> {
  const query = `fieldSelector=${encodeURIComponent(`involvedObject.name=${pod},type=Warning`)}`
  try {
    const { items } = await apiGet<List<Event>>(kubeConfig, `/api/v1/namespaces/${namespace}/events?${query}`, {
      attempt: { namespace, resource: 'events', verb: 'list' },
      timeoutMs: 2000,
    })
    const time = (event: Event): string => event.lastTimestamp ?? event.metadata.creationTimestamp ?? ''
    const newest = items.sort((a, b) => (time(a) < time(b) ? 1 : -1))[0]
    return newest ? `${newest.reason ?? 'Warning'}: ${newest.message ?? ''}` : undefined
  } catch {
    return undefined
  }
}
