import { agentArrival } from './agent-arrival.ts'
import type { AgentInjector } from './agent-injector.ts'
import type { WorkloadAccess } from './cluster-access.ts'
import type { Injector } from './manager-ports.ts'
import type { State } from './state.ts'
import { resolveTarget, resolveWorkload } from './target.ts'
import type { ScopeCheck } from './webhook-scope.ts'

type Options = { checkScope: ScopeCheck; cluster: WorkloadAccess; state: State }

/** Joins the injector with the state that knows which agents have arrived. */
export function injectorAdapter(injector: AgentInjector, { checkScope, cluster, state }: Options): Injector {
  return {
    resolveTarget: (request) => resolveTarget(cluster, request),

    async ensureAgent({ kind, name, namespace }, { containerPort, signal }) {
      const found = await resolveWorkload(cluster, { namespace, workload: name, workloadKind: kind })
      const workload = { kind: found.kind, name, namespace }
      if (state.agentsOf(workload).length === 0) await checkScope(namespace)
      const target = { containerPort, kind: found.kind, namespace, workload: name }
      await injector.ensureAgent(target, { arrived: (until) => agentArrival(state, workload, until), signal })
      return workload
    },
  }
}
