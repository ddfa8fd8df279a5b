import type { ForwardTarget } from './spdy-stream.ts'

/** Path of the Pod's portforward subresource. */
export function portForwardPath({ namespace, pod }: ForwardTarget): string {
  return `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(pod)}/portforward`
}
