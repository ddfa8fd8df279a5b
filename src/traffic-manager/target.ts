import type { Service } from './kubernetes-objects.ts'
import { TpxError } from '../base/error.ts'
import { closestTo } from '../kube/closest-name.ts'
import { type Workload, type WorkloadAccess, WORKLOAD_KINDS, type WorkloadKind } from './cluster-access.ts'
import { obstacleOf } from './inject.ts'
import { choosePort, type TargetPort } from './target-port.ts'
import { servicesFor } from './service-ports.ts'

/** What a client asks for; an empty string means that it leaves the choice to us. */
export type TargetRequest = {
  namespace: string
  /** Name or number of the Service's port; also the name or number of the container port. */
  portIdentifier?: string | undefined
  service?: string | undefined
  workload: string
  workloadKind?: string | undefined
}

/** A port of a workload that can be taken over. */
export type Target = TargetPort & { workloadKind: WorkloadKind; workloadName: string; workloadUid: string }

/**
 * Finds the workload, the Service that leads to it and the port.
 * @throws TpxError WORKLOAD_NOT_FOUND, SERVICE_NOT_FOUND, PORT_NOT_FOUND, PORT_NOT_SUPPORTED, KUBERNETES_*
 */
export async function resolveTarget(cluster: WorkloadAccess, request: TargetRequest): Promise<Target> {
  const [workload, services] = await Promise.all([resolveWorkload(cluster, request), cluster.listServices(request.namespace)])
  const obstacle = obstacleOf(workload.template.spec)
  if (obstacle) {
    throw new TpxError('PORT_NOT_SUPPORTED', `${describe(workload)} cannot have a traffic-agent: ${obstacle}`, {
      hint: 'Intercept a workload whose Pods have a network of their own, on Linux nodes',
    })
  }

  const chosen = choosePort(workload, chooseServices(workload, services, request.service), request.portIdentifier)
  return {
    ...chosen,
    workloadKind: workload.kind,
    workloadName: workload.name,
    workloadUid: workload.uid,
  }
}

/**
 * The workload of that name: Deployment before StatefulSet before ReplicaSet, unless the kind is given.
 * @throws TpxError WORKLOAD_NOT_FOUND with the nearest names as hint
 */
export async function resolveWorkload(
  cluster: WorkloadAccess,
  { namespace, workload: name, workloadKind }: Pick<TargetRequest, 'namespace' | 'workload' | 'workloadKind'>,
): Promise<Workload> {
  const kinds = workloadKind ? WORKLOAD_KINDS.filter((kind) => kind.toLowerCase() === workloadKind.toLowerCase()) : WORKLOAD_KINDS
  const found = await Promise.all(kinds.map((kind) => cluster.findWorkload({ kind, name, namespace })))
  const workload = found.find((candidate) => candidate !== undefined)
  if (!workload) throw await notFound(cluster, { kinds, name, namespace })
  if (workload.owner) {
    throw new TpxError('WORKLOAD_NOT_FOUND', `${describe(workload)} belongs to ${workload.owner.kind} "${workload.owner.name}"`, {
      hint: WORKLOAD_KINDS.some((kind) => kind === workload.owner?.kind)
        ? `Name "${workload.owner.name}" instead`
        : 'Its owner rolls it; this version knows Deployment, StatefulSet and ReplicaSet',
    })
  }

  return workload
}

async function notFound(
  cluster: WorkloadAccess,
  { kinds, name, namespace }: { kinds: readonly WorkloadKind[]; name: string; namespace: string },
): Promise<TpxError> {
  const wanted = kinds.length === 1 ? kinds[0]! : 'Deployment, StatefulSet or ReplicaSet'
  const names = [...new Set((await cluster.listWorkloads(namespace)).filter(({ owner }) => !owner).map((workload) => workload.name))].sort()
  const near = closestTo(name, names)
  const list = names.length
    ? `Workloads of the namespace: ${listed(names)}`
    : `Namespace "${namespace}" has no workloads; is it the right one?`
  return new TpxError('WORKLOAD_NOT_FOUND', `Namespace "${namespace}" has no ${wanted} "${name}"`, {
    hint: near ? `Did you mean "${near}"? ${list}` : list,
  })
}

/** Shows at most ten names. */
function listed(names: readonly string[]): string {
  return names.length > 10 ? `${names.slice(0, 10).join(', ')}, and ${names.length - 10} more` : names.join(', ')
}

function chooseServices(workload: Workload, services: readonly Service[], name: string | undefined): Service[] {
  const leading = servicesFor(workload.template.metadata?.labels, services)
  const names = leading.map(({ metadata }) => metadata?.name ?? '').sort()
  if (!name) {
    if (leading.length) return leading
    throw new TpxError('SERVICE_NOT_FOUND', `No Service in namespace "${workload.namespace}" leads to ${describe(workload)}`, {
      hint: exposeHint(workload),
    })
  }

  const named = leading.filter(({ metadata }) => metadata?.name === name)
  if (named.length) return named
  const problem = services.some(({ metadata }) => metadata?.name === name)
    ? `Service "${name}" does not lead to ${describe(workload)}: its selector does not match the labels of the Pods`
    : `Namespace "${workload.namespace}" has no Service "${name}"`
  throw new TpxError('SERVICE_NOT_FOUND', problem, {
    hint: names.length ? `Services that lead to it: --service ${names.join(', --service ')}` : exposeHint(workload),
  })
}

function exposeHint({ kind, name, namespace, template }: Workload): string {
  const port = template.spec?.containers.flatMap(({ ports = [] }) => ports)[0]
  const command = `kubectl -n ${namespace} expose ${kind.toLowerCase()} ${name} --port=${port?.containerPort ?? 80} --target-port=${port?.name ?? 'NAME'}`
  return kind === 'StatefulSet'
    ? 'An intercept needs a Service with a cluster IP that refers to a container port by its name'
    : `An intercept needs a Service: "${command}"${port?.name ? '' : ', where NAME is the name of a container port'}`
}

/** `Deployment "web-app"`. */
export function describe({ kind, name }: { kind: string; name: string }): string {
  return `${kind} "${name}"`
}
