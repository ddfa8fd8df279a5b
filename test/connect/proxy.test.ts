// tpx proxy and tpx curl: programs of the host in a connection.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { execa } from 'execa'
import { ensureManager, leftovers, quitAll } from '../helpers/cluster.ts'
import { docker, eventually, kubectl, type Running, startTpx, tpx, tpxOk } from '../helpers/tpx.ts'

const PORT = 18_088
const socks = ['--proxy', `socks5h://127.0.0.1:${PORT}`]
const web = ['--proxy', `http://127.0.0.1:${PORT}`]
const tunnelled = [...web, '--proxytunnel']
const name = 'host-proxy'

/** The host's curl; never rejects. */
async function curl(...words: string[]): Promise<{ bytes: Buffer; status: number; stderr: string; text: string }> {
  const { exitCode, stderr, stdout } = await execa('curl', ['--silent', '--show-error', '--max-time', '40', ...words], {
    encoding: 'buffer',
    env: { NO_PROXY: '', no_proxy: '' },
    maxBuffer: 1 << 30,
    reject: false,
    stripFinalNewline: false,
  })
  return {
    bytes: Buffer.from(stdout),
    status: exitCode ?? -1,
    stderr: Buffer.from(stderr).toString(),
    text: Buffer.from(stdout).toString(),
  }
}

async function startProxy(port = PORT): Promise<Running> {
  const running = startTpx(['proxy', '--port', String(port)])
  await eventually('the proxy to listen', async () => /End it with Ctrl-C/.test(running.output()), 10_000)
  return running
}

/** The pattern of the sample's /bytes/N. */
function digestOfPattern(bytes: number): string {
  return createHash('sha256').update(Buffer.alloc(bytes, '0123456789abcdef')).digest('hex')
}

describe('tpx proxy', () => {
  let proxy: Running
  before(async () => {
    await quitAll()
    await ensureManager()
    await tpxOk(['connect', '--name', name])
    proxy = await startProxy()
  })
  after(async () => {
    await proxy[Symbol.asyncDispose]()
    await quitAll()
  })

  for (const [how, words] of [
    ['SOCKS5', socks],
    ['HTTP CONNECT', tunnelled],
    ['plain HTTP', web],
  ] as const) {
    test(`${how} reaches Services by every name that a Pod may write, and by address`, async () => {
      const address = (await kubectl('get', 'service', 'web-app', '--output', 'jsonpath={.spec.clusterIP}')).trim()
      for (const host of ['web-app', 'web-app.default', 'web-app.default.svc', 'web-app.default.svc.cluster.local', address])
        assert.match((await curl(...words, `http://${host}/`)).text, /NAME=web-app-in-cluster/, host)
    })

    test(`${how} carries 100 MB whole`, async () => {
      const { bytes, status } = await curl(...words, 'http://web-app/bytes/100000000')
      assert.equal(status, 0)
      assert.equal(createHash('sha256').update(bytes).digest('hex'), digestOfPattern(100_000_000))
    })

    test(`${how} carries an upload whole`, async () => {
      const body = Buffer.alloc(5_000_000, 'x')
      const { exitCode, stdout } = await execa('curl', ['-sS', ...words, '-T', '-', 'http://web-app/up'], { input: body, reject: false })
      assert.equal(exitCode, 0)
      assert.equal(stdout, `bytes=5000000 sha256=${createHash('sha256').update(body).digest('hex')}`)
    })
  }

  test('SOCKS5 answers as the far side did: refused, no such name', async () => {
    assert.match((await curl(...socks, 'http://tcp:7009/')).stderr, /\(97\).*\(5\)/)
    assert.match((await curl(...socks, 'http://no-such.default.svc.cluster.local/')).stderr, /\(97\).*\(4\)/)
    assert.match((await curl(...web, 'http://tcp:7009/')).text, /^tpx proxy: tcp:7009: connection refused$/m)
    await eventually('the proxy to tell', async () => /^tcp:7009: connection refused$/m.test(proxy.output()), 2000)
  })

  test('what is not in the cluster is dialed from this host', async () => {
    await using server = createServer((_request, response) => response.end('of this host'))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    for (const words of [socks, web]) assert.equal((await curl(...words, `http://127.0.0.1:${port}/`)).text, 'of this host')
    assert.equal((await curl(...socks, `http://localhost:${port}/`)).text, 'of this host')
  })

  test('the PAC file names what is the cluster, and a foreign Host is refused', async () => {
    const { text } = await curl(`http://127.0.0.1:${PORT}/proxy.pac`)
    assert.match(text, /FindProxyForURL/)
    for (const part of ['"cluster.local"', '"default"', '["10.96.0.0","255.255.0.0"]', `PROXY 127.0.0.1:${PORT}`])
      assert.ok(text.includes(part), text)
    assert.match((await curl('-i', '-H', 'Host: evil.example', `http://127.0.0.1:${PORT}/proxy.pac`)).text, /^HTTP\/1\.1 403/)
  })

  test('it listens on loopback only', async () => {
    const listening = await execa('ss', ['-Hltn', `sport = :${PORT}`])
    assert.match(listening.stdout, /127\.0\.0\.1:18088/)
    assert.equal(listening.stdout.trim().split('\n').length, 1)
  })

  test('200 connections at once all get their answer', async () => {
    const { status, text } = await curl(
      ...socks,
      '--parallel',
      '--parallel-max',
      '200',
      '--parallel-immediate',
      'http://web-app/hi?[1-200]',
    )
    assert.equal(status, 0)
    assert.equal(text.match(/^hi$/gm)?.length, 200)
  })

  test('it costs little on top of what a container of the connection pays', async (t) => {
    const script = `
      const net = require('node:net')
      const once = () => new Promise((resolve) => {
        const began = performance.now()
        const socket = net.connect(80, process.argv[1], () => socket.write('GET /hi HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n'))
        socket.on('data', () => {}).on('close', () => resolve(performance.now() - began))
      })
      ;(async () => { const all = []; for (let i = 0; i < 30; i++) all.push(await once()); console.log(all.sort((a, b) => a - b)[15]) })()`
    const address = (await kubectl('get', 'service', 'web-app', '--output', 'jsonpath={.spec.clusterIP}')).trim()
    const inside = Number(await docker('exec', `tpx-${name}-tunnel`, 'node', '-e', script, address))
    const times: number[] = []
    for (let i = 0; i < 30; i++)
      times.push(Number((await curl(...socks, '-o', '/dev/null', '-w', '%{time_total}', `http://${address}/hi`)).text) * 1000)
    const outside = times.sort((a, b) => a - b)[15] ?? Infinity
    t.diagnostic(`median of 30: ${inside.toFixed(1)} ms in a container, ${outside.toFixed(1)} ms through the proxy`)
    assert.ok(outside - inside < 15, `${outside} against ${inside}`)
  })

  test('a second proxy on the same port is told that it is taken', async () => {
    const { status, stderr } = await tpx(['proxy', '--port', String(PORT)])
    assert.equal(status, 4)
    assert.match(stderr, /\[PORT_TAKEN\]/)
  })

  test('it goes on when the link and the tunnel are killed', async () => {
    const works = async () => /web-app-in-cluster/.test((await curl('--max-time', '5', ...socks, 'http://web-app/')).text)
    await docker('kill', '--signal', 'KILL', `tpx-${name}-tunnel`)
    await eventually('the proxy to work again', works, 15_000)
    const { json } = await tpxOk(['status', '--output', 'json'])
    process.kill(Number((json as { connections: { link: { pid: number } }[] }).connections[0]?.link.pid), 'SIGKILL')
    await eventually('the proxy to work again', works, 15_000)
  })

  test('after kill -9 the port is free; Ctrl-C ends it; both leave the connection alone', async () => {
    proxy.child.kill('SIGKILL')
    await proxy.ended
    proxy = await startProxy()
    assert.match((await curl(...socks, 'http://web-app/')).text, /web-app-in-cluster/)
    proxy.child.kill('SIGINT')
    await proxy.ended
    assert.equal(proxy.child.signalCode, 'SIGINT')
    assert.equal((await curl(...socks, 'http://web-app/')).status, 7, 'nobody listens')
    assert.equal(
      ((await tpxOk(['status', '--output', 'json'])).json as { connections: { state: string }[] }).connections[0]?.state,
      'connected',
    )
    proxy = await startProxy()
  })

  describe('tpx curl', () => {
    test('takes the flags of curl as they are, and its exit status', async () => {
      assert.match((await tpxOk(['curl', '-sf', 'http://web-app/'])).stdout, /NAME=web-app-in-cluster/)
      assert.match(
        (await tpxOk(['curl', '--use', name, '-s', '-o', '-', '--next', '-s', 'http://web-app.default/'])).stdout,
        /web-app-in-cluster/,
      )
      for (const [status, ...words] of [
        [22, '-sf', 'http://web-app/file?path=/nope'],
        [6, '-s', 'http://no-such.default.svc.cluster.local/'],
        [7, '-s', 'http://tcp:7009/'],
        [28, '-s', '--max-time', '1', 'http://web-app/slow?ms=5000'],
        [3, '-s', 'http://[/'],
      ] as const)
        assert.equal((await tpx(['curl', ...words])).status, status, words.join(' '))
      assert.match((await tpx(['curl', 'http://tcp:7009/'])).stderr, /tcp:7009: connection refused/)
      assert.equal((await tpx(['curl', '-s', 'http://tcp:7009/'])).stderr, '', '-s is silent')
      assert.match((await tpxOk(['curl', '--', '--version'])).stdout, /^curl \d/)
    })

    test('is not led astray by the proxy variables of the shell', async () => {
      const env = { NO_PROXY: '*', http_proxy: 'http://127.0.0.1:9', no_proxy: 'web-app' }
      assert.match((await tpxOk(['curl', '-sf', 'http://web-app/'], { env })).stdout, /web-app-in-cluster/)
    })

    test('runs curl of an image in the connection with --image', async () => {
      // No registry is needed: the host's curl and its libraries make an image.
      const image = 'tpx-test/curl:1'
      const archive =
        'tar --create --dereference --absolute-names --file - "$(command -v curl)" $(ldd "$(command -v curl)" | grep -o "/[^ ]*")'
      await execa('sh', ['-c', `${archive} 2>/dev/null | docker import - ${image}`])
      try {
        assert.match((await tpxOk(['curl', '--image', image, '-sf', 'http://web-app/'])).stdout, /web-app-in-cluster/)
        assert.equal((await tpx(['curl', '--image', image, '-s', 'http://tcp:7009/'])).status, 7)
        assert.equal((await tpx(['curl', `--image=${image}`, '-s', 'http://no-such.default.svc.cluster.local/'])).status, 6)
      } finally {
        await docker('rmi', image)
      }
    })
  })

  test('when the connection is ended the proxy says so and ends', async () => {
    await tpxOk(['quit', '--use', name])
    assert.equal(await proxy.ended, 2)
    assert.match(proxy.output(), /The connection "host-proxy" was ended \[CONNECTION_NOT_FOUND\]/)
    assert.equal(await leftovers(), '')
    for (const words of [['proxy'], ['curl', 'http://web-app/']]) {
      const { status, stderr } = await tpx(words)
      assert.equal(status, words[0] === 'curl' ? 125 : 2)
      assert.match(stderr, /CONNECTION_NOT_FOUND.*\n.*tpx connect/)
    }
  })

  test('over the exec carrier all of it rides one stream', async () => {
    await tpxOk(['connect', '--name', name, '--carrier', 'exec'])
    await using _proxy = await startProxy()
    const { status, text } = await curl(
      ...socks,
      '--parallel',
      '--parallel-max',
      '100',
      '--parallel-immediate',
      'http://web-app/hi?[1-100]',
    )
    assert.equal(status, 0)
    assert.equal(text.match(/^hi$/gm)?.length, 100)
    const { bytes } = await curl(...socks, 'http://web-app/bytes/20000000')
    assert.equal(createHash('sha256').update(bytes).digest('hex'), digestOfPattern(20_000_000))
  })
})
