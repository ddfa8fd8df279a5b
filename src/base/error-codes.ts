/** What kind of failure a code is; it decides the exit status. */
export type ErrorKind = 'failed' | 'usage' | 'prerequisite' | 'conflict' | 'bug'

/** Exit status of the CLI by kind; `docker-run` answers 125 for every failure of its own, as `docker run` does. */
export const EXIT_STATUS: Record<ErrorKind, number> = { failed: 1, usage: 2, prerequisite: 3, conflict: 4, bug: 70 }

/** Every failure that a user can meet: code -> kind and a one-line meaning. Sorted by code; docs/errors.md is written from it. */
export const ERROR_CODES = {
  AGENT_NOT_READY: ['failed', 'The traffic-agent did not become ready in the workload in time.'],
  AGENT_UNREACHABLE: ['failed', 'No stream to the traffic-agent of the workload can be opened.'],
  APP_FAILED: ['failed', 'The app container could not be created or started.'],
  ATTACHMENT_EXISTS: ['conflict', 'This connection already has an attachment of that name.'],
  ATTACHMENT_NOT_FOUND: ['usage', 'This connection has no attachment of that name.'],
  BUG: ['bug', 'Something failed that tpx did not foresee; please report it.'],
  CARRIER_FAILED: ['failed', 'The tunnel cannot reach the link on the host, or the other way round.'],
  CHART_INVALID: ['usage', 'The chart values are not valid.'],
  CLUSTER_TOO_OLD: ['prerequisite', 'The cluster is older than Kubernetes 1.29.'],
  CONFIG_INVALID: ['usage', 'The configuration (config.yml, an environment variable, an extension of the kubeconfig) is not valid.'],
  CONNECTION_AMBIGUOUS: ['usage', 'Several connections exist; one must be named.'],
  CONNECTION_EXISTS: ['conflict', 'A connection of that name exists with other settings.'],
  CONNECTION_NOT_FOUND: ['usage', 'There is no such connection.'],
  CONTEXT_NOT_FOUND: ['usage', 'The kubeconfig has no such context.'],
  CREDENTIAL_PLUGIN_FAILED: ['prerequisite', 'The credential plugin that the kubeconfig names is missing or failed.'],
  DOCKER_FLAG_UNSUPPORTED: ['usage', 'A flag of docker run cannot work in a shared network namespace.'],
  DOCKER_UNREACHABLE: ['prerequisite', 'The Docker Engine does not answer.'],
  IMAGE_NOT_FOUND: ['usage', 'The Docker Engine has no such image and cannot pull it.'],
  INTERRUPTED: ['failed', 'The command was interrupted.'],
  KUBECONFIG_INVALID: ['usage', 'The kubeconfig cannot be read or is incomplete.'],
  KUBERNETES_CERTIFICATE_INVALID: ['prerequisite', 'The certificate of the Kubernetes API cannot be trusted, or has expired.'],
  KUBERNETES_FORBIDDEN: ['prerequisite', 'The Kubernetes API refuses the request: a permission is missing.'],
  KUBERNETES_UNAUTHORIZED: ['prerequisite', 'The Kubernetes API does not accept the credentials.'],
  KUBERNETES_UNREACHABLE: ['prerequisite', 'The Kubernetes API does not answer.'],
  LINK_FAILED: ['failed', 'The link process on the host did not start or ended.'],
  LOCAL_PORT_TAKEN: ['conflict', 'Another attachment of this connection delivers to that port already.'],
  MANAGER_EXISTS: ['conflict', 'A traffic-manager is in the manager namespace already, or belongs to another tool.'],
  MANAGER_IMAGE_FAILED: ['failed', "The traffic-manager's Pod cannot start."],
  MANAGER_NOT_INSTALLED: ['prerequisite', 'There is no traffic-manager in the manager namespace.'],
  MANAGER_UNREACHABLE: ['failed', 'The traffic-manager does not answer.'],
  MOUNT_FAILED: ['failed', 'A volume of the workload could not be mounted.'],
  NAMESPACE_NOT_FOUND: ['usage', 'The cluster has no such namespace.'],
  NAMESPACE_NOT_SELECTED: ['prerequisite', "The traffic-manager's webhook does not see the Pods of that namespace."],
  NETWORK_NOT_FOUND: ['usage', 'The Docker Engine has no such network.'],
  POD_NOT_FOUND: ['failed', 'The namespace has no such Pod, or the Service has no ready one.'],
  PORT_CONFLICT: ['conflict', 'Somebody else holds an attachment of that port.'],
  PORT_FORWARD_FAILED: ['failed', 'The Kubernetes API or the node does not open a stream to the Pod.'],
  PORT_NOT_FOUND: ['usage', 'The Service has no such port.'],
  PORT_NOT_SUPPORTED: ['usage', 'The port cannot be taken over in the ways this version knows.'],
  PORT_TAKEN: ['conflict', 'Another process listens on that port of the host.'],
  SERVICE_NOT_FOUND: ['usage', 'No Service leads to the workload.'],
  SESSION_LOST: ['failed', 'The traffic-manager does not know this session.'],
  SUBNET_CONFLICT: [
    'conflict',
    'A subnet of the cluster overlaps with a network of this machine, and may not be reached under virtual addresses.',
  ],
  TUNNEL_FAILED: ['failed', 'The tunnel container did not start or ended.'],
  TUN_UNAVAILABLE: ['prerequisite', 'The Docker Engine cannot give a container a TUN device.'],
  UNINSTALL_INCOMPLETE: ['failed', 'Something of tpx could not be removed from the cluster.'],
  USAGE: ['usage', 'The command line is not valid.'],
  WORKLOAD_NOT_FOUND: ['usage', 'The namespace has no such workload.'],
} as const satisfies Record<string, readonly [ErrorKind, string]>

/** A stable name of a failure, for scripts and for the documentation. */
export type ErrorCode = keyof typeof ERROR_CODES

/** Tells whether a string from another process is one of our codes. */
export function isErrorCode(text: unknown): text is ErrorCode {
  return typeof text === 'string' && Object.hasOwn(ERROR_CODES, text)
}
