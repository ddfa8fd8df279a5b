import { HttpStatusError } from '../../../src/kube/api-request.ts'
import type { Kubernetes, WatchEvent } from '../../../src/traffic-manager/kubernetes-api.ts'

type FakeWatch = { end: () => void; fail: (error: Error) => void; onEvent: (event: WatchEvent) => void; path: string }

/** The Kubernetes API as a table of answers by path; an answer that is an Error is thrown, what is missing is 404. */
export function fakeKubernetes(answers: Record<string, unknown>) {
  const watches: FakeWatch[] = []
  const answer = async <T>(path: string): Promise<T> => {
    const found = answers[path]
    if (found instanceof Error) throw found
    if (found === undefined) throw new HttpStatusError(404, '{}')
    return found as T
  }
  const kubernetes: Kubernetes = {
    create: answer,
    get: answer,
    watch: (path, onEvent, signal) =>
      new Promise((resolve, reject) => {
        watches.push({ end: resolve, fail: reject, onEvent, path })
        signal.addEventListener('abort', () => reject(signal.reason as Error))
      }),
  }
  return { ...kubernetes, watches }
}
