// Several connections at once: to two namespaces, and to two clusters with equal CIDRs.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ensureManager, leftovers, probe, quitAll, SAMPLE_IMAGE } from '../helpers/cluster.ts'
import { KubeconfigFolder, setServer } from '../helpers/kubeconfig.ts'
import { loopbackApi, type Proxy } from '../helpers/proxies.ts'
import { kubectl, tpx, tpxOk } from '../helpers/tpx.ts'

const second = 'tpx-test-second'
const [here, there] = ['several-default', 'several-second']

/** A workload with a Service of the same name as one in `default`, which says that it is another. */
const OTHER = {
  apiVersion: 'v1',
  items: [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { labels: { 'tpx.test': 'suite' }, name: second } },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web-app', namespace: second },
      spec: {
        selector: { matchLabels: { app: 'web-app' } },
        template: {
          metadata: { labels: { app: 'web-app' } },
          spec: {
            containers: [
              {
                args: ['web'],
                env: [{ name: 'NAME', value: 'web-app-of-second' }],
                image: SAMPLE_IMAGE,
                imagePullPolicy: 'Never',
                name: 'web',
                ports: [{ containerPort: 8080, name: 'http' }],
              },
            ],
            terminationGracePeriodSeconds: 1,
          },
        },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web-app', namespace: second },
      spec: { ports: [{ name: 'http', port: 80, targetPort: 'http' }], selector: { app: 'web-app' } },
    },
  ],
  kind: 'List',
}

const codeOf = ({ json }: { json: unknown }) => (json as { error?: { code: string; hint: string; message: string } } | undefined)?.error
const who = async (connection: string) => /NAME=\S+/.exec(await probe(connection, 'get', 'http://web-app/'))?.[0]

describe('several connections', () => {
  const folder = new KubeconfigFolder()
  let otherApi: Proxy
  let two: string

  before(async () => {
    await quitAll()
    await ensureManager()
    await kubectl('apply', '--filename', folder.file('other.json', JSON.stringify(OTHER)))
    await kubectl('rollout', 'status', 'deployment/web-app', '--namespace', second, '--timeout', '60s')
    otherApi = await loopbackApi()
    // As a second cluster: other names, another address, the same CIDRs.
    two = folder.kubeconfig((config) => {
      setServer(config, `https://127.0.0.1:${otherApi.port}`)
      for (const list of [config.clusters, config.contexts, config.users]) for (const one of list) one.name = `two-${one.name}`
      for (const { context } of config.contexts)
        Object.assign(context, { cluster: `two-${String(context['cluster'])}`, user: `two-${String(context['user'])}` })
      config['current-context'] = `two-${config['current-context']}`
    })
  })
  after(async () => {
    await quitAll()
    await kubectl('delete', 'namespace', second, '--wait=false')
    await otherApi[Symbol.asyncDispose]()
    folder[Symbol.dispose]()
  })

  test('two namespaces at once: each has its own names, with equal addresses', async () => {
    await Promise.all([tpxOk(['connect', '--name', here]), tpxOk(['connect', '--name', there, '--namespace', second])])
    assert.deepEqual(await Promise.all([who(here), who(there)]), ['NAME=web-app-in-cluster', 'NAME=web-app-of-second'])
    const { json } = await tpxOk(['status', '--output', 'json'])
    const { connections } = json as {
      connections: { settings: { namespace: string }; state: string; tunnel: { session: { serviceSubnets: string[] } } }[]
    }
    assert.deepEqual(
      connections.map(({ settings, state }) => [settings.namespace, state]),
      [
        ['default', 'connected'],
        [second, 'connected'],
      ],
    )
    const [a, b] = connections.map(({ tunnel }) => tunnel.session.serviceSubnets)
    assert.deepEqual(a, b)
  })

  for (const words of [['list'], ['intercept', 'web-app'], ['leave', 'web-app'], ['quit']])
    test(`tpx ${words.join(' ')} without --use names the candidates`, async () => {
      const error = codeOf(await tpx([...words, '--output', 'json']))
      assert.equal(error?.code, 'CONNECTION_AMBIGUOUS')
      assert.match(`${error.message} ${error.hint}`, /several-default, several-second.*--use/)
    })

  test('… also where the link of one is dead', async () => {
    const { json } = await tpxOk(['status', '--output', 'json'])
    const pid = (json as { connections: { link: { pid: number }; settings: { name: string } }[] }).connections.find(
      ({ settings }) => settings.name === here,
    )?.link.pid
    process.kill(Number(pid), 'SIGKILL')
    assert.equal(codeOf(await tpx(['list', '--output', 'json']))?.code, 'CONNECTION_AMBIGUOUS')
    await tpxOk(['list', '--use', here])
  })

  test('--use chooses', async () => {
    const namesOf = async (connection: string) =>
      ((await tpxOk(['list', '--use', connection, '--output', 'json'])).json as { name: string; namespace: string }[]).map(
        ({ namespace }) => namespace,
      )
    assert.deepEqual([...new Set(await namesOf(here))], ['default'])
    assert.deepEqual([...new Set(await namesOf(there))], [second])
    assert.equal(codeOf(await tpx(['list', '--use', 'nobody', '--output', 'json']))?.code, 'CONNECTION_NOT_FOUND')
  })

  test('the end of one is not the end of the other', async () => {
    await tpxOk(['quit', '--use', here])
    assert.equal(await who(there), 'NAME=web-app-of-second')
    await tpxOk(['list'])
  })

  test('two clusters at once with equal CIDRs, each through its own API address', async () => {
    await tpxOk(['connect', '--name', 'several-one'])
    const { json } = await tpxOk(['connect', '--name', 'several-two', '--output', 'json'], { env: { KUBECONFIG: two } })
    assert.match((json as { context: string }).context, /^two-/)
    const used = otherApi.used.length
    assert.ok(used > 0)
    assert.deepEqual(await Promise.all([who('several-one'), who('several-two')]), ['NAME=web-app-in-cluster', 'NAME=web-app-in-cluster'])
    await otherApi[Symbol.asyncDispose]()
    // The way to the second cluster is closed: only the first one goes on.
    assert.equal(await who('several-one'), 'NAME=web-app-in-cluster')
    assert.equal(await who('several-two'), undefined)
  })

  test('a name that stands for another cluster is refused', async () => {
    const error = codeOf(await tpx(['connect', '--name', 'several-one', '--kubeconfig', two, '--output', 'json']))
    assert.equal(error?.code, 'CONNECTION_EXISTS')
  })

  test('tpx quit --all ends them all', async () => {
    await tpxOk(['quit', '--all'])
    assert.equal(await leftovers(), '')
  })
})
