// tpx run: throw-away containers in a connection.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { execa } from 'execa'
import { ensureManager, leftovers, quitAll, SAMPLE_IMAGE } from '../helpers/cluster.ts'
import { docker, eventually, startTpx, tpx, tpxOk } from '../helpers/tpx.ts'

const name = 'runs'
const bin = new URL('../../bin/run.js', import.meta.url).pathname
const apps = () => docker('ps', '--all', '--quiet', '--filter', 'label=dev.tpx.role=app')
const fetchWeb = "fetch('http://web-app/').then((r) => r.text()).then((text) => process.stdout.write(text))"

describe('tpx run', () => {
  before(async () => {
    await quitAll()
    await ensureManager()
    await tpxOk(['connect', '--name', name])
  })
  after(quitAll)

  test('without an image there are a shell and node, in the network of the cluster', async () => {
    assert.match((await tpxOk(['run', '--', 'node', '-e', fetchWeb])).stdout, /NAME=web-app-in-cluster/)
    assert.match(
      (await tpxOk(['run', '-e', 'GREETING=hi there', '-w', '/tmp', '--', 'sh', '-c', 'echo "$GREETING" $PWD'])).stdout,
      /^hi there \/tmp$/,
    )
    assert.equal(await apps(), '')
  })

  test('with an image it is its program', async () => {
    assert.match((await tpxOk(['run', '-e', 'A=B', SAMPLE_IMAGE, '--', 'get', 'http://web-app/'])).stdout, /NAME=web-app-in-cluster/)
    assert.match((await tpxOk(['run', '--use', name, SAMPLE_IMAGE, '--', 'lookup', 'store'])).stdout, /10\.96\./)
  })

  for (const status of [0, 3, 42])
    test(`the exit status ${status} is passed on`, async () => {
      assert.equal((await tpx(['run', '--', 'sh', '-c', `exit ${status}`])).status, status)
    })

  test('a script may be piped in; stdin is not swallowed otherwise', async () => {
    const piped = await execa(process.execPath, ['--', bin, 'run'], { input: 'echo fed; exit 9\n', reject: false })
    assert.deepEqual([piped.stdout, piped.exitCode], ['fed', 9])
    const script = `while read -r line; do node -- ${bin} run -- echo "got $line"; done`
    const looped = await execa('sh', ['-c', script], { input: 'a\nb\n' })
    assert.equal(looped.stdout, 'got a\ngot b')
  })

  test('at a terminal it has one', async () => {
    const { exitCode, stdout } = await execa(
      'script',
      ['-qec', `node -- ${bin} run -- sh -c 'test -t 0 && test -t 1 && echo terminal; exit 5'`, '/dev/null'],
      {
        reject: false,
      },
    )
    assert.match(stdout, /terminal/)
    assert.equal(exitCode, 5)
  })

  test('SIGTERM reaches the container; after SIGKILL the link removes it, and leaves the connection alone', async () => {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const running = startTpx(['run', '--', 'sh', '-c', 'trap "exit 0" TERM; echo ready; sleep 300 & wait'])
      await eventually('the container to run', async () => /ready/.test(running.output()), 15_000)
      running.child.kill(signal)
      await running.ended
      await eventually('the container to be gone', async () => (await apps()) === '', 8000)
    }
    assert.match((await tpxOk(['run', '--', 'node', '-e', fetchWeb])).stdout, /web-app-in-cluster/)
  })

  test('failures of tpx itself end with 125', async () => {
    const missing = await tpx(['run', '--use', 'nothing', '--', 'true'])
    assert.deepEqual([missing.status, /CONNECTION_NOT_FOUND/.test(missing.stderr)], [125, true])
    assert.equal((await tpx(['run', '--', 'no-such-program'])).status, 127, "docker's own status")
  })

  test('without a connection it makes one, and ends it again, also after SIGKILL', async () => {
    await tpxOk(['quit', '--all'])
    const ended = await tpx(['run', '--', 'node', '-e', `${fetchWeb}.then(() => (process.exitCode = 4))`])
    assert.match(ended.stdout, /web-app-in-cluster/)
    assert.equal(ended.status, 4)
    assert.equal(await leftovers(), '')
    const running = startTpx(['run', '--', 'sh', '-c', 'echo ready; sleep 300'])
    await eventually('the container to run', async () => /ready/.test(running.output()), 20_000)
    running.child.kill('SIGKILL')
    await running.ended
    await eventually('nothing to be left', async () => (await leftovers()) === '', 15_000)
  })
})
