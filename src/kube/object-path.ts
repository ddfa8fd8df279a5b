import { TpxError } from '../base/error.ts'
import type { ApiAttempt } from './api-error.ts'

/** Names an object of the Kubernetes API. */
export type ObjectRef = { apiVersion: string; kind: string; metadata: { name: string; namespace?: string } }

type Resource = { apiVersion: string; isNamespaced: boolean; plural: string }

/** The kinds that a chart of ours may hold, in the order of installation: what depends on others comes later. */
export const RESOURCES = {
  Namespace: { apiVersion: 'v1', isNamespaced: false, plural: 'namespaces' },
  ServiceAccount: { apiVersion: 'v1', isNamespaced: true, plural: 'serviceaccounts' },
  Secret: { apiVersion: 'v1', isNamespaced: true, plural: 'secrets' },
  ConfigMap: { apiVersion: 'v1', isNamespaced: true, plural: 'configmaps' },
  ClusterRole: { apiVersion: 'rbac.authorization.k8s.io/v1', isNamespaced: false, plural: 'clusterroles' },
  ClusterRoleBinding: { apiVersion: 'rbac.authorization.k8s.io/v1', isNamespaced: false, plural: 'clusterrolebindings' },
  Role: { apiVersion: 'rbac.authorization.k8s.io/v1', isNamespaced: true, plural: 'roles' },
  RoleBinding: { apiVersion: 'rbac.authorization.k8s.io/v1', isNamespaced: true, plural: 'rolebindings' },
  Service: { apiVersion: 'v1', isNamespaced: true, plural: 'services' },
  // Before the Deployment: the manager looks for it once, when it starts. Until then failurePolicy Ignore keeps it harmless.
  MutatingWebhookConfiguration: {
    apiVersion: 'admissionregistration.k8s.io/v1',
    isNamespaced: false,
    plural: 'mutatingwebhookconfigurations',
  },
  Deployment: { apiVersion: 'apps/v1', isNamespaced: true, plural: 'deployments' },
} as const satisfies Record<string, Resource>

/** @see RESOURCES */
export type KnownKind = keyof typeof RESOURCES

/** Tells whether there is a path for objects of that kind and version. */
export function isKnownKind({ apiVersion, kind }: { apiVersion: string; kind: string }): boolean {
  return Object.hasOwn(RESOURCES, kind) && RESOURCES[kind as KnownKind].apiVersion === apiVersion
}

/** Sorts by kind in the order of installation; objects of a kind stay as they are. */
export function sortForInstall<T extends { kind: string }>(objects: readonly T[]): T[] {
  const order = Object.keys(RESOURCES)
  return objects.toSorted((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind))
}

/** Sorts for deletion: webhooks first, so that nothing calls what is on its way out; then the reverse of the installation. */
export function sortForDelete<T extends { kind: string }>(objects: readonly T[]): T[] {
  const isWebhook = ({ kind }: T): boolean => kind === 'MutatingWebhookConfiguration'
  const reversed = sortForInstall(objects).toReversed()
  return [...reversed.filter(isWebhook), ...reversed.filter((object) => !isWebhook(object))]
}

/** Absolute path of a kind's list, in a namespace or over all. */
export function listPath(kind: KnownKind, namespace?: string): string {
  const { apiVersion, plural } = RESOURCES[kind]
  const group = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
  return namespace ? `${group}/namespaces/${encodeURIComponent(namespace)}/${plural}` : `${group}/${plural}`
}

/** Absolute path of an object. */
export function objectPath(ref: ObjectRef): string {
  if (!isKnownKind(ref)) throw new TpxError('BUG', `Objects of the kind ${ref.apiVersion} ${ref.kind} are not known`)
  const kind = ref.kind as KnownKind
  const { name, namespace } = ref.metadata
  return `${listPath(kind, RESOURCES[kind].isNamespaced ? namespace : undefined)}/${encodeURIComponent(name)}`
}

/** What a request to an object is in RBAC's words, for error messages. */
export function attemptFor(verb: string, ref: ObjectRef): ApiAttempt {
  const { name, namespace } = ref.metadata
  return { name, resource: RESOURCES[ref.kind as KnownKind].plural, verb, ...(namespace ? { namespace } : {}) }
}

/** An object in words: `Deployment "traffic-manager"`. */
export function describeRef({ kind, metadata }: ObjectRef): string {
  return `${kind} "${metadata.name}"`
}
