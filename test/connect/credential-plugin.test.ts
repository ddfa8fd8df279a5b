// The cluster's API is on 127.0.0.1, the credential plugin is on the host only, and its tokens live shortly.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { VERSION } from '../../src/base/version.ts'
import { ensureManager, leftovers, probe, quitAll, SAMPLE_IMAGE } from '../helpers/cluster.ts'
import { apiServer, clusterKubeconfig, KubeconfigFolder, setServer } from '../helpers/kubeconfig.ts'
import { type LoginPlugin, loginPlugin } from '../helpers/login-plugin.ts'
import { loopbackApi, type Proxy } from '../helpers/proxies.ts'
import { findSecrets } from '../helpers/secret-search.ts'
import { docker, eventually, fromCluster, kubectl, startTpx, tpx, tpxOk } from '../helpers/tpx.ts'

type Status = {
  connections: {
    legs: { detail?: string; name: string; next?: string; state: string }[]
    link: { pid: number; server: string } | null
    state: string
  }[]
}

const name = 'plugin'
const isLong = process.env['TPX_LONG'] === '1'
/** A token is renewed after three quarters of its life. */
const LIFE_SECONDS = isLong ? 60 : 10
const RENEWALS = isLong ? 4 : 3
const seed = `seed-${randomBytes(12).toString('hex')}`

describe('a credential plugin that only the host has', () => {
  const folder = new KubeconfigFolder()
  let api: Proxy
  let kubeconfig: string
  let plugin: LoginPlugin
  /** The shell that is prepared for the plugin. Every other command runs in one that knows nothing of it. */
  let shell: Record<string, string>
  const elsewhere = { KUBECONFIG: join(folder.path, 'of-another-shell') }

  const status = async () => ((await tpxOk(['status', '--output', 'json'], { env: elsewhere })).json as Status).connections[0]
  const reaches = async () => /NAME=web-app-in-cluster/.test(await probe(name, 'get', 'http://web-app/'))
  const renewed = (count: number) =>
    eventually(
      `${count} tokens`,
      async () => {
        await status() // asks the API, and so renews what is due
        return plugin.tokens().length >= count
      },
      2000 * LIFE_SECONDS,
    )

  before(async () => {
    await quitAll()
    await ensureManager()
    api = await loopbackApi()
    plugin = await loginPlugin(folder)
    plugin.setLife(LIFE_SECONDS)
    kubeconfig = folder.kubeconfig((config) => {
      setServer(config, `https://127.0.0.1:${api.port}`)
      for (const one of config.users) one.user = { exec: plugin.exec }
    })
    shell = { KUBECONFIG: kubeconfig, PATH: `${plugin.path}:${process.env['PATH']}`, TPX_TEST_LOGIN: seed }
  })
  after(async () => {
    await quitAll()
    await plugin[Symbol.asyncDispose]()
    await api[Symbol.asyncDispose]()
    folder[Symbol.dispose]()
  })

  test('without the plugin in PATH the error names it, and nothing is left', async () => {
    const began = performance.now()
    const { json } = await tpx(['connect', '--name', name, '--output', 'json'], { env: { KUBECONFIG: kubeconfig } })
    const { error } = json as { error: { code: string; hint: string; message: string } }
    assert.equal(error.code, 'CREDENTIAL_PLUGIN_FAILED')
    assert.match(error.message, /"tpx-test-login".*is not in PATH/)
    assert.ok(performance.now() - began < 5000)
    assert.equal(await leftovers(), '')
  })

  test('a plugin that fails is quoted', async () => {
    plugin.fail('SSO session has expired: run "sso login"')
    const { json } = await tpx(['connect', '--name', name, '--output', 'json'], { env: shell })
    plugin.fail(undefined)
    const { error } = json as { error: { code: string; hint: string; message: string } }
    assert.equal(error.code, 'CREDENTIAL_PLUGIN_FAILED')
    assert.match(error.message, /status 7: SSO session has expired: run "sso login"/)
    assert.match(error.hint, /Sign in again/)
  })

  test('tpx connect shows what the plugin says, and reaches the cluster', async () => {
    const { stderr } = await tpxOk(['connect', '--name', name], { env: shell })
    assert.match(stderr, /signing in/)
    assert.equal((await status())?.link?.server, `https://127.0.0.1:${api.port}`)
    assert.ok(await reaches())
  })

  test('the connection lives through renewals: new connections, attachments, a killed link', async () => {
    const given = plugin.tokens().length
    const connections = api.used.length
    for (let round = 1; round <= RENEWALS; round++) {
      await renewed(given + round)
      assert.ok(await reaches(), `after renewal ${round}`)
      if (round % 2) {
        await tpxOk(['intercept', 'web-app', '--use', name, '--port', '8080:http'], { env: elsewhere })
        await tpxOk(['leave', 'web-app', '--use', name], { env: elsewhere })
      } else {
        const pid = (await status())?.link?.pid
        assert.ok(pid)
        process.kill(pid, 'SIGKILL')
        const again = await eventually(
          'the link to be back',
          async () => {
            const one = await status()
            return one?.state === 'connected' && one
          },
          15_000,
        )
        assert.notEqual(again.link?.pid, pid)
        assert.ok(await reaches(), 'after the kill')
      }
    }

    assert.ok(api.used.length - connections > plugin.tokens().length - given, 'the plugin is not asked for every connection')
  })

  test('old tokens are worthless', async () => {
    const [first = ''] = plugin.tokens()
    await eventually(
      'the first token to be refused',
      async () => {
        const { host, port } = apiServer()
        const words = ['--server', `https://${host}:${port}`, '--insecure-skip-tls-verify', '--kubeconfig', '/dev/null', '--token', first]
        const said = await kubectl(...words, 'get', 'pods').catch((error: unknown) => String((error as { stderr?: string }).stderr))
        return /Unauthorized|must be logged in|provide credentials/.test(said)
      },
      15_000,
    )
  })

  test('tokens that are refused before their end are replaced', async () => {
    plugin.setLife(600)
    await renewed(plugin.tokens().length + 1)
    const given = plugin.tokens().length
    await plugin.revoke()
    await eventually(
      'a new token',
      async () => {
        await status()
        return plugin.tokens().length > given
      },
      20_000,
    )
    assert.equal((await status())?.state, 'connected')
    assert.ok(await reaches())
  })

  test('while the user is signed out what is open stays, status tells it, and signing in again is enough', async () => {
    plugin.fail('SSO session has expired')
    await plugin.revoke()
    const down = await eventually(
      'status to tell',
      async () => {
        const leg = (await status())?.legs.find((one) => one.name === 'api')
        return leg?.state === 'down' && leg
      },
      20_000,
    )
    assert.match(down.detail ?? '', /credentials are no longer accepted: .*SSO session has expired/)
    assert.match(down.next ?? '', /^Sign in again/)
    assert.ok(await reaches(), 'the session lives on')
    plugin.fail(undefined)
    await eventually('the connection to be well', async () => (await status())?.state === 'connected', 20_000)
  })

  test('no container holds a token, a key or the kubeconfig', async (t) => {
    await using running = startTpx(
      [
        'docker-run',
        '--name',
        name,
        '--intercept',
        'web-app',
        '--',
        '--rm',
        '--name',
        'tpx-test-app',
        '--env',
        'NAME=developer',
        SAMPLE_IMAGE,
      ],
      shell,
    )
    await eventually('the app to answer', async () => /NAME=developer/.test(await fromCluster('get', 'http://web-app/')), 60_000)
    const { clusters, users } = clusterKubeconfig()
    const line = (value: unknown): string => Buffer.from(String(value), 'base64').toString().split('\n')[3] ?? ''
    const secrets: Record<string, string> = {
      // The certificate itself is public, and in the workload's own volume.
      'CA certificate as in the kubeconfig': String(clusters[0]?.cluster['certificate-authority-data']).slice(0, 200),
      'client key': line(users[0]?.user['client-key-data']),
      'client key in base64': String(users[0]?.user['client-key-data']).slice(0, 200),
      kubeconfig: `server: https://127.0.0.1:${api.port}`,
      'variable of the shell': seed,
    }
    for (const [i, token] of plugin.tokens().entries()) {
      secrets[`token ${i}`] = token
      secrets[`token ${i} in base64`] = Buffer.from(token).toString('base64').slice(0, 200)
    }

    await t.test('the search finds what is planted', async () => {
      const planted = {
        argument: `${seed}-argument`,
        file: `${seed}-file`,
        mount: `${seed}-mount`,
        output: `${seed}-output`,
        variable: `${seed}-variable`,
      }
      const mount = join(folder.path, 'mount')
      mkdirSync(mount)
      writeFileSync(join(mount, 'planted'), planted.mount)
      const script = `echo ${planted.output}; echo ${planted.file} >/planted; sleep 300; :`
      const words = [
        '--label',
        'dev.tpx.test=planted',
        '--env',
        `PLANTED=${planted.variable}`,
        '--volume',
        `${mount}:/mnt`,
        '--entrypoint',
        'sh',
      ]
      await docker('run', '--detach', '--name', 'tpx-test-planted', ...words, `tpx/tunnel:${VERSION}`, '-c', script, planted.argument)
      try {
        const { found } = await findSecrets('dev.tpx.test=planted', planted)
        const places = found.map((one) => `${one.name}: ${one.place}`)
        for (const wanted of [
          'argument: inspect',
          'file: file system',
          'mount: mount',
          'output: logs',
          'variable: environ',
          'variable: inspect',
        ])
          assert.ok(places.includes(wanted), `${wanted} among ${places.join()}`)
      } finally {
        await docker('rm', '--force', 'tpx-test-planted')
      }
    })

    const { containers, found } = await findSecrets('dev.tpx.role', secrets)
    for (const wanted of [`tpx-${name}-holder`, `tpx-${name}-tunnel`, 'tpx-test-app'])
      assert.ok(containers.includes(wanted), `${wanted} among ${containers.join()}`)
    assert.ok(containers.length >= 4, `a mount container among ${containers.join()}`)
    assert.deepEqual(found, [])
    assert.equal(running.child.exitCode, null)
  })

  test('tpx quit leaves nothing', async () => {
    await tpxOk(['quit', '--use', name], { env: elsewhere })
    assert.equal(await leftovers(), '')
  })
})
