import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { after, before, describe, test } from 'node:test'
import { VERSION } from '../../src/base/version.ts'
import { ensureManager, leftovers, quitAll, SAMPLE_IMAGE } from '../helpers/cluster.ts'
import { docker, eventually, fromCluster, kubectl, startTpx, tpx } from '../helpers/tpx.ts'

const fromCaller = () => fromCluster('get', 'http://web-app/')
const app = 'tpx-test-run'
const inApp = (...words: string[]) => docker('exec', app, '/sample', ...words)
const words = (...more: string[]) => [
  'docker-run',
  '--name',
  'drun',
  '--intercept',
  'web-app',
  '--',
  '--rm',
  '--name',
  app,
  '--env',
  'NAME=developer',
  ...more,
  SAMPLE_IMAGE,
]
const answers = (who: RegExp, limitMs: number) => eventually(`an answer from ${who}`, async () => who.test(await fromCaller()), limitMs)

describe('tpx docker-run', () => {
  before(async () => {
    await quitAll()
    await ensureManager()
  })
  after(async () => {
    await docker('rm', '--force', app)
    await quitAll()
  })

  test('the container stands in for the workload: traffic, environment, files, names', async () => {
    await using running = startTpx(words('--publish', '127.0.0.1:18099:8080'))
    await answers(/NAME=developer/, 60_000)

    const environment = JSON.parse(await inApp('get', 'http://127.0.0.1:8080/env')) as Record<string, string>
    const secretOf = async (key: string) =>
      Buffer.from(await kubectl('get', 'secret', 'web-secret', '--output', `jsonpath={.data.${key}}`), 'base64').toString()
    assert.equal(environment['DB_PASSWORD'], await secretOf('password'))
    assert.equal(environment['MULTILINE'], await secretOf('tls\\.pem'))
    assert.equal(environment['NAME'], 'developer', 'the user wins')

    const file = (path: string) => inApp('get', `http://127.0.0.1:8080/file?path=${path}`)
    const inCluster = (path: string) =>
      kubectl('exec', 'deploy/web-app', '--container', 'web', '--', '/sample', 'get', `http://127.0.0.1:8080/file?path=${path}`)
    for (const path of ['/etc/web/app.conf', '/var/secret/tls.pem', '/data/seed.txt'])
      assert.equal(await file(path), await inCluster(path), path)

    assert.match(await inApp('get', 'http://127.0.0.1:8080/store?key=greeting'), /hello from the store/)
    assert.match(
      execFileSync('curl', ['-s', '-m', '5', 'http://127.0.0.1:18099/'], { encoding: 'utf8' }),
      /NAME=developer/,
      'published on the holder',
    )

    // What tpx made may do no more than it must.
    const ids = (await docker('ps', '--quiet', '--filter', 'label=dev.tpx.role')).split('\n')
    for (const one of JSON.parse(await docker('inspect', ...ids)) as {
      Config: { Env: string[]; Labels: Record<string, string> }
      HostConfig: Record<string, unknown>
      Name: string
    }[]) {
      const { Config, HostConfig, Name } = one
      assert.equal(HostConfig['Privileged'], false, Name)
      for (const mode of ['NetworkMode', 'PidMode', 'IpcMode', 'UTSMode']) assert.notEqual(HostConfig[mode], 'host', `${Name} ${mode}`)
      if (Config.Labels['dev.tpx.role'] === 'app') continue
      assert.ok(!/token|client-key|certificate-authority|kubeconfig=|s3cret/i.test(JSON.stringify(Config.Env)), Name)
      assert.ok(!JSON.stringify(HostConfig['Binds'] ?? []).includes('docker.sock'), Name)
    }
    assert.ok(running.child.exitCode === null)
  })

  test('at its end everything is taken back', async () => {
    await answers(/web-app-in-cluster/, 5000)
    assert.equal(await leftovers(), '')
  })

  for (const status of [0, 7, 42])
    test(`the exit status ${status} of the app is passed on`, async () => {
      const ended = await tpx([
        'docker-run',
        '--name',
        'drun',
        '--intercept',
        'web-app',
        '--',
        '--rm',
        '--entrypoint',
        'sh',
        `tpx/tunnel:${VERSION}`,
        '-c',
        `exit ${status}`,
      ])
      assert.equal(ended.status, status, ended.stderr)
    })

  test('SIGTERM reaches the app, and all is taken back', async () => {
    const running = startTpx(words())
    await answers(/NAME=developer/, 30_000)
    running.child.kill('SIGTERM')
    await running.ended
    assert.equal(await leftovers(), '')
    await answers(/web-app-in-cluster/, 3000)
  })

  test('after SIGKILL of tpx the link takes everything back', async () => {
    const running = startTpx(words())
    await answers(/NAME=developer/, 30_000)
    running.child.kill('SIGKILL')
    const began = performance.now()
    await answers(/web-app-in-cluster/, 10_000)
    await eventually('nothing to be left', async () => (await leftovers()) === '', 10_000)
    assert.ok(performance.now() - began < 15_000)
  })

  test('after SIGKILL of the tunnel the app goes on, and new connections work', async () => {
    await using running = startTpx(words())
    await answers(/NAME=developer/, 30_000)
    const id = await docker('inspect', '--format', '{{.Id}} {{.State.Pid}}', app)
    await docker('kill', '--signal', 'KILL', 'tpx-drun-tunnel')
    await eventually(
      'the cluster to be reachable again',
      async () => /hello from the store/.test(await inApp('get', 'http://127.0.0.1:8080/store?key=greeting')),
      5000,
    )
    await answers(/NAME=developer/, 5000)
    assert.equal(await docker('inspect', '--format', '{{.Id}} {{.State.Pid}}', app), id)
    assert.ok(running.child.exitCode === null)
  })

  test('an image that is not there is said so, and nothing is left', async () => {
    const ended = await tpx(['docker-run', '--name', 'drun', '--intercept', 'web-app', '--', '--rm', 'tpx-test/no-such-image:1'])
    assert.equal(ended.status, 125)
    assert.match(ended.stderr, /no-such-image/)
    assert.equal(await leftovers(), '')
  })
})
