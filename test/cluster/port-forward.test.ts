import { loadKubeconfig } from '../../src/kube/kubeconfig.ts'
import { listPods, readyPods } from '../../src/kube/pod-lookup.ts'
import { portForwardSuite } from '../contract/port-forward-suite.ts'

// The sample application's "tcp" server; KUBECONFIG names the cluster (test/cluster/cluster up).
portForwardSuite('the cluster', async () => {
  const kubeConfig = await loadKubeconfig()
  const [pod] = readyPods((await listPods(kubeConfig, 'default', { selector: { app: 'tcp' } })).items)
  return { echoPort: 7001, kubeConfig, namespace: 'default', pod: pod?.metadata.name ?? '', refusedPort: 7999, resetPort: 7003 }
})
