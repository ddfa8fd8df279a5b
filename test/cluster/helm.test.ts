// `tpx helm …` on a real cluster: KUBECONFIG, or the test cluster of this folder. Needs the image tpx/traffic of this version.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { TpxError } from '../../src/base/error.ts'
import { type Installed, installManager, upgradeManager } from '../../src/session/helm-install.ts'
import { uninstallManager, type Uninstalled } from '../../src/session/helm-uninstall.ts'
import { type Ended, tpx, tpxOk } from '../helpers/tpx.ts'

// Webhooks are called in the order of their names: this one must come before those of other suites in the same cluster.
const NAMESPACE = 'a-helm-test'
const APPS = 'a-helm-test-apps'
const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
const CRASH_IMAGE = 'tpx-test/helm-crash:v1'
const isExternal = process.env['TPX_TEST_CLUSTER'] === 'external'
const NO_VALUES = { files: [], set: [], setString: [] }

const run = promisify(execFile)
const kubeconfig = process.env['KUBECONFIG'] ?? (await run('test/cluster/cluster', ['kubeconfig'])).stdout.trim()

async function kubectl(...args: string[]): Promise<string> {
  const { stdout } = await run('test/cluster/cluster', ['kubectl', ...args], {
    env: { ...process.env, KUBECONFIG: kubeconfig },
    maxBuffer: 1 << 26,
  })
  return stdout
}

const kubectlJson = async <T>(...args: string[]): Promise<T> => JSON.parse(await kubectl(...args, '-o', 'json')) as T

async function apply(...objects: object[]): Promise<void> {
  const child = run('test/cluster/cluster', ['kubectl', 'apply', '-f', '-'], { env: { ...process.env, KUBECONFIG: kubeconfig } })
  child.child.stdin?.end(JSON.stringify({ apiVersion: 'v1', items: objects, kind: 'List' }))
  await child
}

function target(options: { namespace?: string; progress?: string[]; signal?: AbortSignal; timeoutMs?: number } = {}) {
  return {
    context: undefined,
    kubeconfig,
    namespace: options.namespace ?? NAMESPACE,
    onProgress: (text: string) => void options.progress?.push(text),
    root: '.',
    signal: options.signal ?? new AbortController().signal,
    timeoutMs: options.timeoutMs ?? 60_000,
  }
}

const install = (set: string[] = [], options: Parameters<typeof target>[0] & { keepFailed?: boolean } = {}): Promise<Installed> =>
  installManager({
    ...target(options),
    createNamespace: true,
    keepFailed: options.keepFailed ?? false,
    values: { ...NO_VALUES, set },
    wait: true,
  })
const upgrade = (set: string[] = [], resetValues = false): Promise<Installed> =>
  upgradeManager({ ...target(), resetValues, values: { ...NO_VALUES, set }, wait: true })
const uninstall = (options: Parameters<typeof target>[0] = {}): Promise<Uninstalled> => uninstallManager(target(options))

/** Everything in the cluster whose name or namespace is of this suite; Events are not of interest. */
async function leftovers(): Promise<string[]> {
  const listed = await kubectl('api-resources', '--verbs=list', '-o', 'name')
  const resources = listed.split('\n').filter((name) => name && !name.startsWith('events') && !name.includes('metrics.k8s.io'))
  const template = '{range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{"\\n"}{end}'
  const text = await kubectl('get', resources.join(','), '-A', '--ignore-not-found', '-o', `jsonpath=${template}`)
  return text.split('\n').filter((line) => line.includes(NAMESPACE) && !line.includes(APPS))
}

async function failureOf(work: Promise<unknown>): Promise<TpxError & { ms: number }> {
  const began = performance.now()
  const error = await work.then(
    () => assert.fail('it works'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof TpxError, String(error))
  return Object.assign(error, { ms: performance.now() - began })
}

/** A namespace that was told to go takes the API server some seconds (its grace period is 5 s). */
async function assertNothingLeft(): Promise<void> {
  let left = await leftovers()
  for (let n = 0; n < 60 && left.length > 0; n++) {
    assert.deepEqual(
      left.filter((line) => !/^Namespace |kube-root-ca.crt$|\/default$/.test(line)),
      [],
    )
    await sleep(250)
    left = await leftovers()
  }

  assert.deepEqual(left, [])
}

type Secret = { data: Record<string, string> }
type Webhook = { webhooks: { clientConfig: { caBundle?: string } }[] }
const runtimeState = async (): Promise<unknown> => {
  const secret = await kubectlJson<Secret>('-n', NAMESPACE, 'get', 'secret', 'mutator-webhook-tls')
  const webhook = await kubectlJson<Webhook>('get', 'mutatingwebhookconfiguration', `agent-injector-webhook-${NAMESPACE}`)
  return { bundle: webhook.webhooks[0]?.clientConfig.caBundle, secret: secret.data }
}

const managerEnv = async (): Promise<Record<string, string>> => {
  type Deployment = { spec: { template: { spec: { containers: { env: { name: string; value?: string }[] }[] } } } }
  const { spec } = await kubectlJson<Deployment>('-n', NAMESPACE, 'get', 'deployment', 'traffic-manager')
  return Object.fromEntries((spec.template.spec.containers[0]?.env ?? []).map(({ name, value }) => [name, value ?? '']))
}

before(async () => {
  if (!isExternal) await run('test/cluster/cluster', ['load-image', `tpx/traffic:${version}`])
  await kubectl('delete', 'namespace', APPS, NAMESPACE, '--ignore-not-found')
  await uninstall()
})
after(async () => {
  await kubectl('delete', 'namespace', APPS, '--ignore-not-found')
  await uninstall()
})

describe('tpx helm install, upgrade, uninstall', () => {
  test('installs, waits until the manager is ready, and says for what it waits', async () => {
    const progress: string[] = []
    const installed = await install([], { progress })
    assert.equal(installed.image, `tpx/traffic:${version}`)
    assert.ok(
      progress.some((text) => text.startsWith('Waiting for Deployment "traffic-manager"')),
      progress.join('\n'),
    )
    const { metadata } = await kubectlJson<{ metadata: { labels: Record<string, string> } }>('get', 'namespace', NAMESPACE)
    assert.equal(metadata.labels['pod-security.kubernetes.io/enforce'], 'restricted')
    const { bundle } = (await runtimeState()) as { bundle?: string }
    assert.ok(bundle, 'the manager did not patch the webhook')
  })

  test('refuses a second install, and hints at upgrade', async () => {
    const error = await failureOf(install())
    assert.equal(error.code, 'MANAGER_EXISTS')
    assert.match(error.hint ?? '', /^tpx helm upgrade --manager-namespace a-helm-test$/)
  })

  test('upgrades with new values, remembers them, and leaves alone what the manager filled', async () => {
    const state = await runtimeState()
    await upgrade([
      'logLevel=debug',
      'clientRbac.create=true',
      'clientRbac.subjects[0].kind=Group',
      'clientRbac.subjects[0].name=a-helm-devs',
    ])
    assert.equal((await managerEnv())['LOG_LEVEL'], 'debug')
    assert.deepEqual(await runtimeState(), state)
    const again = await upgrade(['clusterDomain=cluster.local'])
    assert.deepEqual(again.removed, [])
    assert.deepEqual([(await managerEnv())['LOG_LEVEL'], (await managerEnv())['CLUSTER_DOMAIN']], ['debug', 'cluster.local'])
    assert.deepEqual(await runtimeState(), state)
  })

  test('gives developers what they need and no more', async () => {
    const may = async (verb: string, resource: string, namespace: string): Promise<boolean> => {
      const [name = '', subresource] = resource.split('/')
      const args = [
        'auth',
        'can-i',
        verb,
        name,
        '-n',
        namespace,
        '--as=dev',
        '--as-group=a-helm-devs',
        ...(subresource ? [`--subresource=${subresource}`] : []),
      ]
      return kubectl(...args).then(
        (text) => text.trim() === 'yes',
        () => false,
      )
    }
    const allowed: [string, string, string][] = [
      ['create', 'pods/portforward', NAMESPACE],
      ['get', 'services', NAMESPACE],
      ['list', 'pods', NAMESPACE],
      ['create', 'pods/portforward', 'default'],
      ['get', 'pods', 'default'],
      ['get', 'namespaces', 'default'],
    ]
    const denied: [string, string, string][] = [
      ['get', 'secrets', NAMESPACE],
      ['list', 'secrets', 'default'],
      ['create', 'pods/exec', 'default'],
      ['delete', 'pods', 'default'],
      ['patch', 'deployments', 'default'],
    ]
    for (const one of allowed) assert.equal(await may(...one), true, one.join(' '))
    for (const one of denied) assert.equal(await may(...one), false, one.join(' '))
  })

  test('goes back to what worked after an upgrade that did not', async () => {
    const error = await failureOf(upgrade(['image.tag=missing', 'image.pullPolicy=Never']))
    assert.equal(error.code, 'MANAGER_IMAGE_FAILED')
    assert.match(error.hint ?? '', /Go back to the values of before/)
    await upgrade()
    assert.equal((await managerEnv())['LOG_LEVEL'], 'debug')
  })

  test('forgets values on request, and removes what is no longer rendered', async () => {
    const { removed } = await upgrade([], true)
    assert.deepEqual(removed.toSorted(), [
      `ClusterRole "traffic-manager-client-${NAMESPACE}"`,
      `ClusterRoleBinding "traffic-manager-client-${NAMESPACE}"`,
      'Role "traffic-manager-connect"',
      'RoleBinding "traffic-manager-connect"',
    ])
    assert.equal((await managerEnv())['LOG_LEVEL'], 'info')
  })

  test('takes the agents out of all workloads and leaves nothing behind', async () => {
    // kube-proxy needs up to 0.7 s to know a Pod that has just become ready; until then the webhook is passed over.
    await sleep(1500)
    await makeWorkloads()
    await waitForAgents(4)
    const log = await kubectl('-n', NAMESPACE, 'logs', 'deployment/traffic-manager')
    assert.doesNotMatch(log, /forbidden|refuses to/i)
    const { namespaceKept, workloads } = await uninstall()
    assert.deepEqual(workloads.map(({ kind, name }) => `${kind} ${name}`).toSorted(), [
      'Deployment opted',
      'Deployment web',
      'ReplicaSet bare',
      'StatefulSet lazy',
    ])
    assert.equal(namespaceKept, undefined)
    assert.deepEqual(await leftovers(), [])
    assert.equal(await agentCount(), 0)
    const templates = await kubectl(
      '-n',
      APPS,
      'get',
      'deployments,statefulsets',
      '-o',
      'jsonpath={.items[*].spec.template.metadata.annotations}',
    )
    assert.doesNotMatch(templates, /tpx\.dev/)
  })

  test('uninstalls once more without complaint', async () => {
    assert.deepEqual(await uninstall(), { namespace: NAMESPACE, removed: [], workloads: [] })
  })

  test('refuses to upgrade what is not there', async () => {
    assert.equal((await failureOf(upgrade())).code, 'MANAGER_NOT_INSTALLED')
  })
})

describe('tpx helm install that fails', () => {
  test('reports an image that cannot be pulled in less than 5 s, in the words of the kubelet, and leaves nothing', async () => {
    const seen: Record<string, number> = {}
    const progress = Object.assign([] as string[], { push: (text: string) => (seen[text] = performance.now() - began) })
    const began = performance.now()
    const error = await failureOf(install(['image.registry=127.0.0.1:1'], { progress }))
    assert.ok((seen['The install failed; removing what it made'] ?? Infinity) < 5000, JSON.stringify(seen))
    assert.equal(error.code, 'MANAGER_IMAGE_FAILED')
    assert.match(error.message, /127\.0\.0\.1:1\/tpx\/traffic.*connection refused/)
    assert.match(error.hint ?? '', /Everything that this install had made is removed again/)
    assert.ok(error.ms < 10_000, `${error.ms} ms`)
    await assertNothingLeft()
  })

  test('reports a container that ends, with the end of its log', { skip: isExternal }, async () => {
    const dockerfile = `FROM tpx/traffic:${version}\nENTRYPOINT ["node", "-e", "console.error('no good today'); process.exit(3)"]\n`
    const build = run('docker', ['build', '--quiet', '--tag', CRASH_IMAGE, '-'], { env: { ...process.env, DOCKER_BUILDKIT: '0' } })
    build.child.stdin?.end(dockerfile)
    await build
    await run('test/cluster/cluster', ['load-image', CRASH_IMAGE])
    const error = await failureOf(install(['image.name=tpx-test/helm-crash', 'image.tag=v1', 'image.pullPolicy=Never']))
    await run('docker', ['rmi', CRASH_IMAGE])
    assert.equal(error.code, 'MANAGER_IMAGE_FAILED')
    assert.equal(error.message, 'The traffic-manager ended with status 3 (Error): no good today')
    assert.ok(error.ms < 15_000, `${error.ms} ms`)
    await assertNothingLeft()
  })

  test('reports a Pod that no node takes after 10 s', async () => {
    const error = await failureOf(install(['nodeSelector.nowhere=here']))
    assert.equal(error.code, 'MANAGER_IMAGE_FAILED')
    assert.match(error.message, /No node takes the Pod: Unschedulable: 0\/\d+ nodes/)
    assert.ok(error.ms > 9000 && error.ms < 20_000, `${error.ms} ms`)
    await assertNothingLeft()
  })

  test('reports a quota, and leaves a namespace that was there before', async () => {
    await apply(
      { apiVersion: 'v1', kind: 'Namespace', metadata: { labels: { 'tpx.test': 'suite' }, name: NAMESPACE } },
      { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'none', namespace: NAMESPACE }, spec: { hard: { pods: '0' } } },
    )
    const error = await failureOf(install())
    assert.equal(error.code, 'MANAGER_IMAGE_FAILED')
    assert.match(error.message, /exceeded quota: none/)
    assert.ok(error.ms < 10_000, `${error.ms} ms`)
    assert.deepEqual(
      (await leftovers()).filter((line) => !/^Namespace |kube-root-ca.crt$|\/default$|\/none$/.test(line)),
      [],
    )
    await kubectl('delete', 'namespace', NAMESPACE)
  })

  test('leaves nothing when the user interrupts it', async () => {
    const controller = new AbortController()
    const failed = failureOf(install(['nodeSelector.nowhere=here'], { signal: controller.signal }))
    await sleep(1500)
    controller.abort()
    assert.equal((await failed).code, 'INTERRUPTED')
    await assertNothingLeft()
  })

  test('reports values that the API does not accept as such', async () => {
    const error = await failureOf(install(['resources.limits.memory=much']))
    assert.equal(error.code, 'CHART_INVALID')
    assert.match(error.message, /does not accept Deployment "traffic-manager"/)
    await assertNothingLeft()
  })

  test("does not touch another product's traffic-manager", async () => {
    const labels = { app: 'traffic-manager' }
    const container = { image: 'tpx-test/sample:1', imagePullPolicy: 'Never', name: 'x' }
    await kubectl('create', 'namespace', NAMESPACE)
    await apply({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'traffic-manager', namespace: NAMESPACE },
      spec: { replicas: 0, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [container] } } },
    })
    for (const work of [install, upgrade, uninstall]) assert.equal((await failureOf(work())).code, 'MANAGER_EXISTS')
    assert.equal((await kubectl('-n', NAMESPACE, 'get', 'deployments,services,serviceaccounts', '-o', 'name')).split('\n').length, 3)
    await kubectl('delete', 'namespace', NAMESPACE)
  })

  test('keeps the namespace when somebody else put something into it', async () => {
    await install()
    await kubectl('-n', NAMESPACE, 'create', 'configmap', 'mine')
    assert.match((await uninstall()).namespaceKept ?? '', /^it holds configmaps\/mine$/)
    await kubectl('delete', 'namespace', NAMESPACE)
    await assertNothingLeft()
  })
})

describe('the tpx helm commands', () => {
  const env = { KUBECONFIG: kubeconfig, TPX_MANAGER_NAMESPACE: NAMESPACE }
  const codeOf = ({ json }: Ended): string => (json as { error: { code: string } }).error.code

  test('answer in JSON on stdout, and say in words what went wrong and what to do', async () => {
    const { json } = await tpxOk(['helm', 'install', '-o', 'json', '--set', 'logLevel=debug'], { env })
    assert.deepEqual((json as Installed).namespace, NAMESPACE)
    const again = await tpx(['helm', 'install', '-o', 'json'], { env })
    assert.deepEqual([again.status, codeOf(again)], [4, 'MANAGER_EXISTS'])
    const typo = await tpx(['helm', 'upgrade', '--set', 'logLevl=debug', '--output=json'], { env })
    assert.deepEqual([typo.status, codeOf(typo)], [2, 'CHART_INVALID'])
    assert.match(typo.stderr, /^Error: There is no value "logLevl" \[CHART_INVALID\]\nNext: {2}Did you mean "logLevel"\?/)
    assert.equal((await tpx(['helm', 'upgrade', '--timeout', 'soon'], { env })).status, 2)
    const gone = await tpxOk(['helm', 'uninstall'], { env })
    assert.equal(gone.stdout, `Removed the traffic-manager from namespace "${NAMESPACE}"`)
    assert.equal((await tpx(['helm', 'upgrade'], { env })).status, 3)
  })
})

describe('the chart in the hands of the real Helm', () => {
  const helm = (...args: string[]) =>
    run('test/helm/helm', [...args, '--namespace', NAMESPACE], { env: { ...process.env, KUBECONFIG: kubeconfig } })

  test('installs, upgrades without touching what the manager filled, and is left alone by tpx', async () => {
    await helm('install', 'traffic-manager', 'charts/tpx', '--create-namespace', '--wait', '--timeout', '60s')
    const state = (await runtimeState()) as { bundle?: string }
    assert.ok(state.bundle)
    await helm('upgrade', 'traffic-manager', 'charts/tpx', '--set', 'logLevel=debug', '--wait', '--timeout', '60s')
    assert.deepEqual(await runtimeState(), state)
    const error = await failureOf(upgrade())
    assert.match(`${error.code} ${error.message}`, /^MANAGER_EXISTS .*was installed with Helm/)
    await helm('uninstall', 'traffic-manager', '--wait')
    await kubectl('delete', 'namespace', NAMESPACE)
    await assertNothingLeft()
  })
})

/** One workload of every way in which Pods are replaced, each wanting an agent. */
async function makeWorkloads(): Promise<void> {
  const workload = (kind: string, name: string, annotations: Record<string, string>, spec: object = {}): object => {
    const labels = { app: name }
    const container = {
      args: ['web'],
      image: 'tpx-test/sample:1',
      imagePullPolicy: 'Never',
      name: 'web',
      ports: [{ containerPort: 8080, name: 'http' }],
    }
    const template = { metadata: { annotations, labels }, spec: { containers: [container], terminationGracePeriodSeconds: 1 } }
    return {
      apiVersion: 'apps/v1',
      kind,
      metadata: { name, namespace: APPS },
      spec: { ...spec, replicas: 1, selector: { matchLabels: labels }, template },
    }
  }
  const service = (name: string): object => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: APPS },
    spec: { ports: [{ port: 80, targetPort: 'http' }], selector: { app: name } },
  })
  const wanted = { 'tpx.dev/restartedAt': '2026-01-01T00:00:00Z' }
  await apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { labels: { 'tpx.test': 'suite' }, name: APPS } })
  await apply(
    ...['web', 'opted', 'bare', 'lazy'].map(service),
    workload('Deployment', 'web', wanted),
    workload('Deployment', 'opted', { 'telepresence.io/inject-traffic-agent': 'enabled' }),
    workload('ReplicaSet', 'bare', wanted),
    workload('StatefulSet', 'lazy', wanted, { serviceName: 'lazy', updateStrategy: { type: 'OnDelete' } }),
  )
}

/** Pods with an agent of this suite's manager: others may be in the same cluster. */
async function agentCount(): Promise<number> {
  type Pods = {
    items: { metadata: { annotations?: Record<string, string>; deletionTimestamp?: string }; spec: { initContainers?: object[] } }[]
  }
  const { items } = await kubectlJson<Pods>('-n', APPS, 'get', 'pods')
  const isOurs = (containers?: object[]): boolean => JSON.stringify(containers ?? []).includes(`traffic-manager.${NAMESPACE}.svc`)
  return items.filter(
    ({ metadata, spec }) => !metadata.deletionTimestamp && metadata.annotations?.['tpx.dev/injected'] && isOurs(spec.initContainers),
  ).length
}

async function waitForAgents(count: number): Promise<void> {
  for (let n = 0; n < 60 && (await agentCount()) < count; n++) await sleep(250)
  assert.equal(await agentCount(), count)
}
