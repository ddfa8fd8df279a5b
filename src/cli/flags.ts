import { Flags } from '@oclif/core'
import type { CarrierChoice, ClientConfig } from '../wire/client-config.ts'
import { routingConfig, type RoutingFlagValues } from './routing-flags.ts'

/** Which of several connections a command means. */
export const useFlag = {
  use: Flags.string({ description: 'Connection to use, where there are several.', helpValue: 'NAME' }),
}

/** How to reach the cluster; shared by everything that may connect. */
export const clusterFlags = {
  as: Flags.string({ description: 'User to impersonate in the cluster.', helpGroup: 'CLUSTER', helpValue: 'USER' }),
  'as-group': Flags.string({
    dependsOn: ['as'],
    description: 'Group to impersonate; may be given several times.',
    helpGroup: 'CLUSTER',
    helpValue: 'GROUP',
    multiple: true,
    multipleNonGreedy: true,
  }),
  'as-uid': Flags.string({ dependsOn: ['as'], description: 'UID to impersonate.', helpGroup: 'CLUSTER', helpValue: 'UID' }),
  context: Flags.string({ description: 'Context of the kubeconfig.', helpGroup: 'CLUSTER' }),
  kubeconfig: Flags.string({ description: 'Path of the kubeconfig; default: $KUBECONFIG, then ~/.kube/config.', helpGroup: 'CLUSTER' }),
  'manager-namespace': Flags.string({
    description: 'Namespace of the traffic-manager; default: $TPX_MANAGER_NAMESPACE, the configuration, "ambassador".',
    helpGroup: 'CLUSTER',
  }),
}

/** What a connection is made of. */
export const connectFlags = {
  ...clusterFlags,
  carrier: Flags.option({
    description: 'How the tunnel container reaches the host: a bind-mounted socket, or the stdio of a docker exec; default: auto.',
    options: ['auto', 'unix', 'exec'] as const,
  })(),
  network: Flags.string({
    description: 'User-defined Docker network to join, so that the names of its containers resolve, too.',
    helpValue: 'NAME',
  }),
  name: Flags.string({ description: 'Name of the connection; default: context and namespace.', helpValue: 'NAME' }),
  namespace: Flags.string({ char: 'n', description: "Namespace to connect to; default: the context's.", helpGroup: 'CLUSTER' }),
}

/** What the flags of a connection say, in the words of config.yml. */
export function configOfFlags(
  flags: RoutingFlagValues & { carrier?: CarrierChoice | undefined; 'manager-namespace'?: string | undefined },
): ClientConfig {
  const { carrier, 'manager-namespace': namespace } = flags
  return {
    ...routingConfig(flags),
    ...(namespace === undefined ? {} : { cluster: { defaultManagerNamespace: namespace } }),
    ...(carrier === undefined ? {} : { docker: { carrier } }),
  }
}

/** What an attachment of the kind intercept is made of. */
export const interceptFlags = {
  'env-file': Flags.string({
    description: "Write the workload's environment to this file (0600), in the syntax of docker's --env-file.",
    helpValue: 'FILE',
  }),
  'env-json': Flags.string({ description: "Write the workload's environment to this file (0600), as JSON.", helpValue: 'FILE' }),
  port: Flags.string({
    char: 'p',
    description: 'Port in the container that receives the traffic, and the port of the Service by name or number.',
    helpValue: 'PORT[:IDENTIFIER]',
  }),
  service: Flags.string({ description: 'Service to intercept, where several lead to the workload.' }),
}
