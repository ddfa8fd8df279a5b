import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { ensureManager, quitAll, SAMPLE_IMAGE } from '../helpers/cluster.ts'
import { docker, eventually, fromCluster, kubectl, tpx, tpxOk } from '../helpers/tpx.ts'

const name = 'icept'
const fromCaller = () => fromCluster('get', 'http://web-app/')

describe('tpx intercept', () => {
  before(async () => {
    await quitAll()
    await ensureManager()
    await tpxOk(['connect', '--name', name])
    await docker(
      'run',
      '--detach',
      '--name',
      'tpx-test-app',
      '--network',
      `container:tpx-${name}-holder`,
      '--env',
      'NAME=developer',
      '--env',
      'PORT=8088',
      SAMPLE_IMAGE,
    )
  })
  after(async () => {
    await docker('rm', '--force', 'tpx-test-app')
    await quitAll()
  })

  test('the agent is injected into the target workload only, and all its traffic arrives', async () => {
    assert.match(await fromCaller(), /web-app-in-cluster/)
    const directory = mkdtempSync(join(tmpdir(), 'tpx-test-'))
    const envFile = join(directory, 'env')
    const envJson = join(directory, 'env.json')
    const { json, stdout } = await tpxOk([
      'intercept',
      'web-app',
      '--port',
      '8088:http',
      '--env-file',
      envFile,
      '--env-json',
      envJson,
      '--output',
      'json',
    ])
    const { environmentNames, localPort, state } = json as { environmentNames: string[]; localPort: number; state: string }
    assert.deepEqual([localPort, state], [8088, 'active'])
    assert.ok(environmentNames.includes('DB_PASSWORD'))
    for (let i = 0; i < 10; i++) assert.match(await fromCaller(), /NAME=developer/)

    const environment = JSON.parse(readFileSync(envJson, 'utf8')) as Record<string, string>
    const secret = Buffer.from(await kubectl('get', 'secret', 'web-secret', '--output', 'jsonpath={.data.tls\\.pem}'), 'base64').toString()
    assert.equal(environment['MULTILINE'], secret)
    assert.equal(environment['NAME'], 'web-app-in-cluster')
    assert.ok(!stdout.includes(environment['DB_PASSWORD'] ?? 'x'), 'no secret on the terminal')
    assert.equal(statSync(envJson).mode & 0o777, 0o600)
    const lines = readFileSync(envFile, 'utf8')
    assert.match(lines, /^NAME=web-app-in-cluster$/m)
    assert.ok(!lines.includes('MULTILINE='), 'the syntax has no line breaks')

    const pods = await kubectl(
      'get',
      'pods',
      '--output',
      'jsonpath={range .items[*]}{.metadata.labels.app} {.spec.initContainers[*].name}{"\\n"}{end}',
    )
    const withAgent = pods.split('\n').filter((line) => line.includes('traffic-agent'))
    assert.ok(withAgent.length >= 1 && withAgent.every((line) => line.startsWith('web-app ')), pods)
  })

  test('tpx list tells who holds the workload', async () => {
    const { json } = await tpxOk(['list', '--output', 'json'])
    const found = (json as { agent: string; clients: string[]; name: string }[]).find((one) => one.name === 'web-app')
    assert.equal(found?.agent, 'intercepted')
    assert.equal(found.clients.length, 1)
  })

  test('a second client is told who owns the port', async () => {
    await tpxOk(['connect', '--name', 'second'])
    const { json, status } = await tpx(['intercept', 'web-app', '--use', 'second', '--output', 'json'])
    const { error } = json as { error: { code: string; hint: string; message: string } }
    assert.equal(error.code, 'PORT_CONFLICT')
    assert.equal(status, 4)
    assert.match(error.message, /@/)
    await tpxOk(['quit', '--use', 'second'])
    assert.match(await fromCaller(), /NAME=developer/)
  })

  test('the same name twice is refused, and so are unknown things', async () => {
    const cases: [string[], string][] = [
      [['intercept', 'web-app', '--use', name], 'ATTACHMENT_EXISTS'],
      [['intercept', 'nope', '--use', name], 'WORKLOAD_NOT_FOUND'],
      [['intercept', 'store', '--port', '6380:nope', '--use', name], 'PORT_NOT_FOUND'],
      [['intercept', 'store', '--service', 'nope', '--use', name], 'SERVICE_NOT_FOUND'],
      [['intercept', 'no-service', '--use', name], 'SERVICE_NOT_FOUND'],
      [['intercept', 'tcp', '--port', 'echo', '--use', name], 'PORT_NOT_SUPPORTED'],
      [['leave', 'nope', '--use', name], 'ATTACHMENT_NOT_FOUND'],
      [['intercept', 'web-app', '--port', '99999', '--use', name], 'USAGE'],
    ]
    for (const [words, code] of cases) {
      const { json, stderr } = await tpx([...words, '--output', 'json'])
      assert.equal((json as { error: { code: string } } | undefined)?.error.code, code, `${words.join(' ')}: ${stderr}`)
      if (code !== 'USAGE') assert.match(stderr, /^Next: /m, `${words.join(' ')} has a next step`)
    }
  })

  test('tpx leave gives the traffic back', async () => {
    await tpxOk(['leave', 'web-app', '--use', name])
    await eventually('the cluster to answer', async () => /web-app-in-cluster/.test(await fromCaller()), 3000)
  })

  test('with the agent present the next attachment is quick and works under another name', async () => {
    await tpxOk(['intercept', 'mine', '--workload', 'web-app', '--port', '8088', '--use', name])
    assert.match(await fromCaller(), /NAME=developer/)
    await tpxOk(['leave', 'mine', '--use', name])
    await eventually('the cluster to answer', async () => /web-app-in-cluster/.test(await fromCaller()), 3000)
  })

  test('tpx intercept --mount true leaves volumes for any container', async () => {
    const { json } = await tpxOk(['intercept', 'web-app', '--port', '8088', '--mount', 'true', '--use', name, '--output', 'json'])
    const { volumes } = json as { volumes: { name: string; path: string }[] }
    const config = volumes.find(({ path }) => path === '/etc/web')
    assert.ok(config, JSON.stringify(volumes))
    await tpxOk(['leave', 'web-app', '--use', name])
    assert.equal(await docker('volume', 'ls', '--quiet', '--filter', 'label=dev.tpx.role=volume'), '')
  })
})
