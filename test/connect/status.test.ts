// tpx status: what it says while legs are lost, how soon, and that it never hangs.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import net, { type AddressInfo, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { ensureManager, quitAll } from '../helpers/cluster.ts'
import { apiServer, KubeconfigFolder, setServer } from '../helpers/kubeconfig.ts'
import { docker, eventually, kubectl, type Running, startTpx, tpx, tpxOk } from '../helpers/tpx.ts'

type Leg = { detail?: string; doing?: string; name: string; state: string }
type One = {
  attachments: { environmentNames: string[]; name: string }[]
  cause: string | null
  dns: { address: string; search: string[] } | null
  doing: string | null
  lastProven: { agoMs: number; at: string } | null
  legs: Leg[]
  link: { pid: number } | null
  next: string | null
  state: string
}

const name = 'status'
const tunnel = `tpx-${name}-tunnel`

/** The API server on a loopback port that can be closed and opened again. */
class Api {
  port = 0
  readonly #server = net.createServer((socket) => this.#join(socket))
  readonly #sockets = new Set<Socket>()

  async open(): Promise<void> {
    this.#server.listen(this.port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.port = (this.#server.address() as AddressInfo).port
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #join(socket: Socket): void {
    const ahead = net.connect(apiServer())
    for (const [one, other] of [
      [socket, ahead],
      [ahead, socket],
    ] as const) {
      this.#sockets.add(one)
      one
        .on('error', () => {})
        .once('close', () => {
          this.#sockets.delete(one)
          other.destroy()
        })
      one.pipe(other)
    }
  }
}

/** One look; `tookMs` is the whole command, with Node's start. */
async function look(env: Record<string, string> = {}): Promise<One & { tookMs: number }> {
  const began = performance.now()
  const { json } = await tpxOk(['status', '--output', 'json'], { env })
  const [one] = (json as { connections: One[] }).connections
  assert.ok(one)
  return { ...one, tookMs: performance.now() - began }
}

const states = ({ legs }: One): Record<string, string> => Object.fromEntries(legs.map((leg) => [leg.name, leg.state]))

describe('tpx status', () => {
  const api = new Api()
  const folder = new KubeconfigFolder()
  let watch: Running

  /** The documents that the watch has written since a number of them. */
  const documents = (): One[] =>
    watch
      .output()
      .split('\n')
      .filter(Boolean)
      .flatMap((line) => (JSON.parse(line) as { connections: One[] }).connections)
  const seen = async (what: string, fits: (one: One) => boolean, options: { from: number; limitMs: number }) => {
    const began = performance.now()
    const one = await eventually(
      `the watch to show ${what}`,
      async () => documents().slice(options.from).find(fits),
      options.limitMs,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${JSON.stringify(documents().slice(options.from), undefined, 1)}`)
    })
    return { ...one, afterMs: Math.round(performance.now() - began) }
  }

  before(async () => {
    await quitAll()
    await ensureManager()
    await api.open()
    const kubeconfig = folder.kubeconfig((config) => setServer(config, `https://127.0.0.1:${api.port}`))
    assert.equal((await tpx(['status', '--check'])).status, 1, 'not connected')
    await tpxOk(['connect', '--name', name, '--kubeconfig', kubeconfig])
    watch = startTpx(['status', '--watch', '--output', 'json'])
    await seen('the connection', ({ state }) => state === 'connected', { from: 0, limitMs: 5000 })
  })
  after(async () => {
    await watch[Symbol.asyncDispose]()
    await quitAll()
    api.close()
    folder[Symbol.dispose]()
  })

  test('shows every leg, the last proof, subnets, DNS, and says it fast', async (t) => {
    const one = await look()
    assert.deepEqual(states(one), { engine: 'up', link: 'up', tunnel: 'up', api: 'up', manager: 'up', data: 'up', network: 'up' })
    assert.deepEqual([one.cause, one.doing, one.next], [null, null, null])
    assert.ok(one.lastProven && one.lastProven.agoMs < 4500, JSON.stringify(one.lastProven))
    assert.deepEqual(one.dns?.search, ['default.svc.cluster.local', 'svc.cluster.local', 'cluster.local'])
    t.diagnostic(`the whole command took ${Math.round(one.tookMs)} ms`)
    assert.equal((await tpx(['status', '--check'])).status, 0)
    const { stdout } = await tpxOk(['status'])
    assert.match(stdout, /^status: connected\n {2}last proven end to end: \d\.\d s ago/)
    assert.match(stdout, /^ {2}api +up +[\d:]+ +[\d.]+ ms/m)
  })

  test('names the variables of an attachment, and no value', async () => {
    await tpxOk(['intercept', 'web-app', '--use', name])
    const one = await look()
    assert.ok(one.attachments[0]?.environmentNames.includes('DB_PASSWORD'), JSON.stringify(one.attachments))
    assert.equal(states(one)['agents of web-app'], 'up')
    const secret = Buffer.from(await kubectl('get', 'secret', 'web-secret', '--output', 'jsonpath={.data.password}'), 'base64').toString()
    assert.ok(!JSON.stringify(one).includes(secret))
    await tpxOk(['leave', 'web-app', '--use', name])
  })

  type Fault = { breaks: () => unknown; cause: RegExp; doing?: RegExp; mends: () => unknown; title: string }
  const pid = async (): Promise<number> => Number((await look()).link?.pid)
  let stopped = 0
  const faults: Fault[] = [
    {
      breaks: () => api.close(),
      cause: /^The Kubernetes API at "https:\/\/127\.0\.0\.1:\d+" (?:refuses connections|closed the connection)/,
      doing: /reconnecting/,
      mends: () => api.open(),
      title: 'the API is away',
    },
    {
      breaks: async () => {
        stopped = await pid()
        process.kill(stopped, 'SIGSTOP')
      },
      cause: /^The link process has not answered for 2 s/,
      mends: () => process.kill(stopped, 'SIGCONT'),
      title: 'the link is frozen',
    },
    {
      breaks: () => docker('pause', tunnel),
      cause: /^The tunnel container has not answered for 2 s/,
      mends: () => docker('unpause', tunnel),
      title: 'the tunnel is frozen',
    },
    {
      // A single loss is mended before anybody can look; after several the link waits a little.
      breaks: async () => {
        for (let kills = 0; kills < 5; await new Promise((resolve) => setTimeout(resolve, 100)))
          if (await docker('kill', '--signal', 'KILL', tunnel).catch(() => undefined)) kills += 1
      },
      cause: /^The tunnel container "tpx-status-tunnel" ended/,
      doing: /^starting it again/,
      mends: () => {},
      title: 'the tunnel is killed again and again',
    },
  ]
  for (const { breaks, cause, doing, mends, title } of faults)
    test(`while ${title} it is degraded within 5 s, with the cause, and connected again afterwards`, async (t) => {
      const comesBack = title.startsWith('the tunnel is killed')
      const from = documents().length
      await breaks()
      const one = await seen('the cause', (each) => each.state === 'degraded' && cause.test(each.cause ?? ''), { from, limitMs: 5000 })
      if (doing) await seen('what is done', (each) => doing.test(each.doing ?? ''), { from, limitMs: 5000 })
      let tookMs = 0
      if (!comesBack) {
        const single = await look()
        tookMs = single.tookMs
        assert.match(single.cause ?? '', cause)
        assert.ok(tookMs < 4000, `${tookMs} ms`)
      }
      const later = documents().length
      await mends()
      const back = await seen('that it is well', ({ state }) => state === 'connected', {
        from: comesBack ? documents().findLastIndex(({ state }) => state === 'degraded') : later,
        limitMs: 15_000,
      })
      t.diagnostic(
        `degraded after ${one.afterMs} ms, a single look took ${Math.round(tookMs)} ms, connected ${back.afterMs} ms after the repair`,
      )
    })

  test('while the engine is away it shows what the link knows', async () => {
    const one = await look({ DOCKER_HOST: 'unix:///nowhere/docker.sock' })
    assert.deepEqual([one.state, states(one)['engine'], states(one)['manager']], ['degraded', 'down', 'up'])
    assert.match(one.cause ?? '', /^Cannot reach the Docker Engine/)
  })

  test('while the manager cannot start it says why', async () => {
    const scale = (replicas: number) =>
      kubectl('scale', 'deployment', 'traffic-manager', '--namespace', 'ambassador', `--replicas=${replicas}`)
    const image = (
      await kubectl(
        'get',
        'deployment',
        'traffic-manager',
        '--namespace',
        'ambassador',
        '--output',
        'jsonpath={.spec.template.spec.containers[0].image}',
      )
    ).trim()
    const set = (to: string) => kubectl('set', 'image', 'deployment/traffic-manager', '--namespace', 'ambassador', `*=${to}`)
    const from = documents().length
    try {
      await scale(0)
      await seen('the loss', ({ state }) => state === 'degraded', { from, limitMs: 8000 })
      await set('tpx-test/no-such-image:1')
      await scale(1)
      const one = await seen('the reason', ({ cause }) => /Image/.test(cause ?? ''), { from, limitMs: 30_000 })
      assert.match(one.cause ?? '', /no ready Pod: Pod "traffic-manager-.*": .*(?:ErrImagePull|ImagePullBackOff|ErrImageNeverPull)/)
      assert.match(one.next ?? '', /kubectl get pods -n ambassador/)
    } finally {
      await set(image)
      await scale(1)
    }
    const later = documents().length
    await seen('that it is well', ({ state }) => state === 'connected', { from: later, limitMs: 40_000 })
  })

  test('--watch ends with Ctrl-C', async () => {
    watch.child.kill('SIGINT')
    await watch.ended
    assert.equal(watch.child.signalCode, 'SIGINT')
  })
})
