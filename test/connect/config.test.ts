// config.yml, the kubeconfig's extension and the traffic-manager's `client:` section, from the file to what they do.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { parse, stringify } from 'yaml'
import { ensureManager, leftovers, quitAll } from '../helpers/cluster.ts'
import { docker, type Ended, eventually, kubectl, tpx, tpxOk } from '../helpers/tpx.ts'

const directory = mkdtempSync(join(tmpdir(), 'tpx-config-'))
const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
const NAME = 'config-test'
const MIRROR = 'tpx-test/mirror'

type Config = Record<string, Record<string, unknown>>

/** A config.yml of that content, as the environment that names it. */
function config(content: Config): { TPX_CONFIG: string } {
  const path = join(directory, 'config.yml')
  writeFileSync(path, stringify(content))
  return { TPX_CONFIG: path }
}

const connect = (env: Record<string, string>): Promise<Ended> => tpxOk(['connect', '--name', NAME, '--output', 'json'], { env })
const view = async (env: Record<string, string>): Promise<Config> =>
  (await tpxOk(['config', 'view', '--output', 'json', '--use', NAME], { env })).json as Config
const routes = (): Promise<string> => docker('exec', `tpx-${NAME}-tunnel`, 'ip', 'route', 'show', 'table', 'all')
const upgrade = (...set: string[]): Promise<Ended> =>
  tpxOk(['helm', 'upgrade', '--reset-values', ...set.flatMap((one) => ['--set', one])], { env: config({}) })

before(async () => {
  await quitAll()
  await ensureManager()
})
after(async () => {
  await quitAll()
  await upgrade()
  await docker('rmi', '--no-prune', `${MIRROR}/tpx/tunnel:${version}`).catch(() => '')
  rmSync(directory, { recursive: true })
})

describe('A connection with a config.yml', () => {
  const mine: Config = {
    dns: { excludes: ['wpad'], mappings: [{ aliasFor: 'web-app', name: 'mapped.example' }] },
    docker: { carrier: 'exec' },
    images: { registry: MIRROR },
    intercept: { defaultPort: 4711 },
    logLevels: { link: 'debug', tunnel: 'debug' },
    routing: { alsoProxySubnets: ['203.0.113.0/24'], neverProxySubnets: ['10.250.1.0/24'] },
  }

  before(async () => {
    await docker('tag', `tpx/tunnel:${version}`, `${MIRROR}/tpx/tunnel:${version}`)
    await connect(config(mine))
  })

  test('begins with what it sets: images, carrier, log levels', async () => {
    for (const role of ['holder', 'tunnel'])
      assert.equal(
        (await docker('inspect', '--format', '{{.Config.Image}}', `tpx-${NAME}-${role}`)).trim(),
        `${MIRROR}/tpx/tunnel:${version}`,
      )
    const { connections } = (await tpxOk(['status', '--output', 'json'])).json as {
      connections: { link: { carrier: string; pid: number } }[]
    }
    const { carrier, pid } = connections[0]!.link
    assert.equal(carrier, 'exec')
    assert.match(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), /--log-level=debug/)
    assert.match(await docker('inspect', '--format', '{{.Config.Env}}', `tpx-${NAME}-tunnel`), /TPX_LOG_LEVEL=debug/)
  })

  test('routes what it also proxies', async () => {
    assert.match(await routes(), /^203\.0\.113\.0\/24 dev tpx0/m)
  })

  test('delivers an intercept without a port to intercept.defaultPort', async () => {
    const { json } = await tpxOk(['intercept', 'web-app', '--output', 'json'], { env: config(mine) })
    await tpxOk(['leave', 'web-app'])
    assert.equal((json as { localPort: number }).localPort, 4711)
  })

  test('is told the manager’s client: section within 15 s of a helm upgrade, without a restart', async () => {
    const pod = (): Promise<string> =>
      kubectl('get', 'pods', '-n', 'ambassador', '-l', 'app=traffic-manager', '-o', 'jsonpath={.items[*].metadata.uid}')
    const uid = await pod()
    await upgrade(
      'client.dns.includeSuffixes={.corp.example.com}',
      'client.routing.alsoProxySubnets={198.51.100.0/24}',
      'client.routing.neverProxySubnets={10.250.2.0/24}',
      'client.intercept.defaultPort=9999',
    )
    const env = config(mine)
    const seen = await eventually(
      'the manager’s values',
      async () => {
        const now = await view(env)
        return now['dns']!['includeSuffixes'] ? now : undefined
      },
      15_000,
    )
    assert.deepEqual(seen['dns']!['includeSuffixes'], ['.corp.example.com'])
    assert.deepEqual(seen['routing']!['alsoProxySubnets'], ['203.0.113.0/24'], 'the list of config.yml replaces it')
    assert.deepEqual(seen['routing']!['neverProxySubnets'], ['10.250.1.0/24', '10.250.2.0/24'], 'these are united')
    assert.equal(seen['intercept']!['defaultPort'], 4711)
    assert.equal(await pod(), uid)
    const { stderr, stdout } = await tpxOk(['config', 'view'], { env })
    assert.equal(stderr, '')
    assert.match(stdout, /^dns\.includeSuffixes +\["\.corp\.example\.com"\] +traffic-manager$/m)
    assert.match(stdout, /^dns\.excludes +\["wpad"\] +".*config\.yml"$/m)
    assert.match(stdout, /^routing\.neverProxySubnets .* ".*config\.yml" and traffic-manager$/m)
    assert.match(stdout, /^timeouts\.helm +2m +default$/m)
    const clientOnly = (await tpxOk(['config', 'view', '--client-only', '--output', 'yaml'], { env })).stdout
    assert.equal((parse(clientOnly) as Config)['dns']!['includeSuffixes'], undefined)
  })

  test('keeps what it was made with, and says so where config.yml has changed', async () => {
    const env = config({ ...mine, intercept: { defaultPort: 4712 } })
    const again = await tpxOk(['connect', '--name', NAME], { env })
    assert.match(again.stderr, /keeps the settings it was made with; "tpx quit" and a new connect change intercept\.defaultPort$/m)
    const { stderr, stdout } = await tpxOk(['config', 'view'], { env })
    assert.match(stderr, /^Warning: Connection "config-test" keeps what it was made with; .* change intercept\.defaultPort$/m)
    assert.match(stdout, /^intercept\.defaultPort +4711 +connection "config-test"$/m)
    await tpxOk(['quit', '--use', NAME]).catch(() => tpxOk(['quit', '--all']))
  })
})

describe('Without config.yml', () => {
  after(() => tpx(['quit', '--all']))

  test('the manager’s routing is there from the start, and follows the manager', async () => {
    await connect(config({}))
    assert.match(await routes(), /^198\.51\.100\.0\/24 dev tpx0/m)
    await upgrade()
    await eventually('the route is gone', async () => !/198\.51\.100/.test(await routes()), 15_000)
  })
})

describe('A configuration that cannot be', () => {
  test('stops connect before anything is touched, with file, line and the nearest key', async () => {
    const env = config({ routing: { alsoProxySubnet: ['10.0.0.0/8'] } })
    const { status, stderr } = await tpx(['connect', '--name', NAME], { env })
    assert.equal(status, 2)
    assert.match(stderr, /config\.yml", line 2: there is no key "routing.alsoProxySubnet" \[CONFIG_INVALID\]$/m)
    assert.match(stderr, /^Next: {2}Did you mean "routing.alsoProxySubnets"\?/m)
    assert.equal(await leftovers(), '')
  })

  test('of a time-out that is too short fails with it, and leaves nothing', async () => {
    const env = config({ timeouts: { trafficManagerConnect: '1ms' } })
    const { status, stderr } = await tpx(['connect', '--name', NAME], { env })
    assert.equal(status, 1, stderr)
    assert.match(stderr, /MANAGER_UNREACHABLE|CARRIER_FAILED/)
    assert.equal(await leftovers(), '')
  })
})

test('The manager’s namespace: flag > environment > kubeconfig > config.yml', async () => {
  const kubeconfig = parse(readFileSync(process.env['KUBECONFIG']!, 'utf8')) as { clusters: { cluster: Record<string, unknown> }[] }
  kubeconfig.clusters[0]!.cluster['extensions'] = [
    { extension: { cluster: { defaultManagerNamespace: 'of-kubeconfig' } }, name: 'tpx.dev' },
  ]
  const path = join(directory, 'kubeconfig')
  writeFileSync(path, stringify(kubeconfig))
  const env = config({ cluster: { defaultManagerNamespace: 'of-file' } })
  const namespaceIn = async (words: string[], more: Record<string, string>): Promise<string | undefined> => {
    const { stderr } = await tpx(['connect', '--name', NAME, ...words], { env: { ...env, ...more } })
    return /namespace "([^"]+)"/.exec(stderr)?.[1]
  }
  assert.equal(await namespaceIn([], {}), 'of-file')
  assert.equal(await namespaceIn([], { KUBECONFIG: path }), 'of-kubeconfig')
  assert.equal(await namespaceIn([], { KUBECONFIG: path, TPX_MANAGER_NAMESPACE: 'of-environment' }), 'of-environment')
  assert.equal(
    await namespaceIn(['--manager-namespace', 'of-flag'], { KUBECONFIG: path, TPX_MANAGER_NAMESPACE: 'of-environment' }),
    'of-flag',
  )
  assert.equal(await leftovers(), '')
})
