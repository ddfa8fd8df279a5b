// A file of its own, so that programs in the cluster need not carry what reads kubeconfigs.
import type { KubeConfig } from '@kubernetes/client-node'

/** Address of the API server of the chosen context; loadKubeconfig made sure that there is one. */
export function serverOf(kubeConfig: KubeConfig): string {
  return kubeConfig.getCurrentCluster()?.server ?? ''
}
