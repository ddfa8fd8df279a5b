import type { WorkloadName } from './sessions.ts'
import type { State } from './state.ts'

/** Resolves when an agent of the workload has a session; at once where it has. Rejects with the signal's reason. */
export function agentArrival(state: State, workload: WorkloadName, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      leave()
      signal.removeEventListener('abort', onAbort)
    }
    const onAbort = (): void => {
      settle()
      reject(signal.reason as Error)
    }
    const check = (): void => {
      if (state.agentsOf(workload).length === 0) return
      settle()
      resolve()
    }
    const leave = state.changes.subscribe(check)
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    else check()
  })
}
