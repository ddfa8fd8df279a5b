import { agentArrival } from './agent-arrival.ts'
import type { AgentInjector } from './agent-injector.ts'
import type { WorkloadAccess } from './cluster-access.ts'
import type { Injector } from './manager-ports.ts'
import type { State } from './state.ts'
import { resolveTarget, resolveWorkload } from './target.ts'

/** Joins the injector with the state that knows which agents have arrived. */
export function injectorAdapter(injector: AgentInjector, cluster: WorkloadAccess, state: State): Injector {
  return {
    resolveTarget: (request) => resolveTarget(cluster, request),

    async ensureAgent({ kind, name, namespace }, { containerPort, signal }) {
      const found = await resolveWorkload(cluster, { namespace, workload: name, workloadKind: kind })
      const workload = { kind: found.kind, name, namespace }
      const target = { containerPort, kind: found.kind, namespace, workload: name }
      await injector.ensureAgent(target, { arrived: (until) => agentArrival(state, workload, until), signal })
      return workload
    },
  }
}
