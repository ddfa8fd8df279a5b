// What an app sees of the network, compared with what it would see in the cluster: the honesty table of design §4.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { imageMissing } from '../helpers/docker.ts'
import { PORT } from './syn-gate/ports.ts'
import { routesOf, startWorld, tryGate, TUNNEL_IMAGE, type World } from './syn-gate/world.ts'

const skip = imageMissing(TUNNEL_IMAGE)
const MEGABYTE = 1 << 20
const limit = { timeout: 30_000 }

const ways = [
  { address: '10.96.0.10', mode: 'tproxy', title: 'IPv4, tproxy' },
  { address: 'fd96::10', mode: 'tproxy', title: 'IPv6, tproxy' },
  { address: '10.96.0.10', mode: 'listener', title: 'IPv4, a listener per destination' },
  { address: 'fd96::10', mode: 'listener', title: 'IPv6, a listener per destination' },
]

for (const mode of ['tproxy', 'listener']) {
  describe(`SYN gate, ${mode}`, { concurrency: false, skip, timeout: 240_000 }, () => {
    let world: World
    before(async () => {
      world = await startWorld({ MODES: mode, SUBNETS_LATER: '10.96.1.0/24' })
    })
    after(async () => {
      await world?.[Symbol.asyncDispose]()
    })

    for (const { address, title } of ways.filter((way) => way.mode === mode)) honesty(title, address, () => world)
    lifetime(mode, () => world)
  })
}

describe('network without what it needs', { concurrency: false, skip, timeout: 120_000 }, () => {
  it('startNetwork() says that the device is missing', limit, async () => {
    const log = await tryGate(['--cap-drop', 'ALL', '--cap-add', 'NET_ADMIN'])
    assert.match(log, /Cannot open "\/dev\/net\/tun"/)
    assert.match(log, /TUN_UNAVAILABLE/)
  })

  it('startNetwork() says that the capability is missing', limit, async () => {
    const log = await tryGate(['--cap-drop', 'ALL', '--device', '/dev/net/tun'])
    assert.match(log, /needs the capability NET_ADMIN/)
    assert.match(log, /TUN_UNAVAILABLE/)
  })

  it('without IPv6 the IPv6 subnets are left out; a network of the container keeps its route', limit, async () => {
    const bridge = '172.16.0.0/12 172.17.0.0/16'
    await using world = await startWorld({ SUBNETS: `10.96.0.0/24 fd96::/64 ${bridge}` }, { ipv6: false })
    assert.equal((await world.app('exchange', { address: '10.96.0.1', port: PORT.echo, send: 'x' })).code, 'ok')
    const address = await world.peer.address()
    assert.equal((await world.app('exchange', { address, port: PORT.echo, send: 'direct' })).text, 'direct')
    const second = await tryGate(['--network', `container:${world.holder.name}`, '--cap-add', 'NET_ADMIN', '--device', '/dev/net/tun'])
    assert.match(second, /Another process in the network namespace holds the device/)
  })
})

/** Starts the gate again, whether or not it runs, and waits until it is ready. */
async function startGate({ gate }: World): Promise<void> {
  await gate.kill().catch(() => {})
  const times = ((await gate.logs()).match(/^ready/gm) ?? []).length + 1
  await gate.restart()
  await gate.waitForLog(/^ready/, { times })
}

function honesty(title: string, address: string, world: () => World): void {
  it(`${title}: pings of any size are answered by the far side, byte for byte`, limit, async () => {
    for (const bytes of [0, 56, 1472, 9000, 60_000]) {
      const { code, same } = await world().app('ping', { address, bytes })
      assert.deepEqual({ bytes, code, same }, { bytes, code: 'ok', same: true })
    }
  })

  if (!address.includes(':'))
    it(`${title}: a ping to an address that nobody has is never answered`, limit, async () => {
      const { code } = await world().app('ping', { address: '10.96.1.10', bytes: 56, timeoutMs: 5000 })
      assert.equal(code, 'EHOSTUNREACH')
    })

  it(`${title}: a connection carries data both ways and ends with a FIN`, limit, async () => {
    const { bytes: _, code, ended, text } = await world().app('exchange', { address, port: PORT.echo, send: 'hello' })
    assert.deepEqual({ code, ended, text }, { code: 'ok', ended: true, text: 'hello' })
  })

  it(`${title}: a refused connection fails with ECONNREFUSED at once`, limit, async () => {
    const { code, ms } = await world().app('exchange', { address, port: PORT.closed })
    assert.equal(code, 'ECONNREFUSED')
    assert.ok(ms < 500, `after ${ms} ms`)
  })

  it(`${title}: a reset by the far side is a reset, before and after data`, limit, async () => {
    assert.equal((await world().app('exchange', { address, halfClose: false, port: PORT.reset })).code, 'ECONNRESET')
    const later = await world().app('exchange', { address, halfClose: false, port: PORT.resetLater, send: 'x' })
    assert.deepEqual({ code: later.code, ended: later.ended }, { code: 'ECONNRESET', ended: false })
  })

  it(`${title}: the app may end first and still reads the answer`, limit, async () => {
    const { code, ended, text } = await world().app('exchange', { address, port: PORT.upload, send: 'abc' })
    assert.equal(text, '3 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
    assert.deepEqual({ code, ended }, { code: 'ok', ended: true })
  })

  it(`${title}: the far side may end first and still hears the app`, limit, async () => {
    assert.equal((await world().app('speakAfterFin', { address })).code, 'ok')
    let heard = ''
    for (let tries = 0; tries < 50 && heard !== `still here ${address}`; tries++)
      heard = (await world().app('exchange', { address, halfClose: false, port: PORT.heard })).text
    assert.equal(heard, `still here ${address}`)
  })

  it(`${title}: a FIN without data arrives`, limit, async () => {
    for (const halfClose of [true, false]) {
      const asked = Array.from({ length: 20 }, () => world().app('exchange', { address, halfClose, port: PORT.emptyEnd, timeoutMs: 3000 }))
      const codes = (await Promise.all(asked)).map(({ code, ended }) => `${code} ${ended}`)
      assert.deepEqual(new Set(codes), new Set(['ok true']))
    }
  })

  it(`${title}: an app that ends first and reads late gets everything`, limit, async () => {
    for (const bytes of [100_000, 3 * MEGABYTE, 10 * MEGABYTE]) {
      const outcome = await world().app('readLate', { address, afterMs: 500, bytes, endFirst: true })
      assert.deepEqual(outcome, { bytes, code: 'ok', ended: true })
    }
  })

  it(`${title}: 500 connections at once reach their own far ends`, limit, async () => {
    const { codes, good } = await world().app('many', { address, count: 500, port: PORT.echo })
    assert.deepEqual({ codes, good }, { codes: ['ok'], good: 500 })
  })

  // Below the range out of which the kernel gives ports to others of the namespace.
  for (const [order, localPort] of [
    ['app', 25_001],
    ['far', 25_002],
    ['reset', 25_003],
  ] as const) {
    it(`${title}: a port can be used again at once when the last connection ended by ${order}`, limit, async () => {
      assert.deepEqual(await world().app('reuse', { address, localPort, order, times: 20 }), { codes: ['ok'], good: 20 })
    })
  }

  it(`${title}: 50 MB up and 50 MB down arrive whole`, limit, async () => {
    const up = await world().app('exchange', { address, port: PORT.upload, sendBytes: 50 * MEGABYTE })
    assert.equal(up.text, `${50 * MEGABYTE} ${up.hash}`)
    const down = await world().app('exchange', { address, halfClose: false, port: PORT.download, send: String(50 * MEGABYTE) })
    assert.deepEqual({ bytes: down.bytes, code: down.code, ended: down.ended }, { bytes: 50 * MEGABYTE, code: 'ok', ended: true })
  })

  it(`${title}: datagrams of any size come back, a closed port is refused`, limit, async () => {
    for (const bytes of [0, 1, 1400, 9000, 65_000]) {
      const { code, same } = await world().app('datagram', { address, bytes, port: PORT.echo })
      assert.deepEqual({ bytes, code, same }, { bytes, code: 'ok', same: true })
    }
    assert.equal((await world().app('datagram', { address, bytes: 10, port: PORT.closed })).code, 'ECONNREFUSED')
  })
}

function lifetime(mode: string, world: () => World): void {
  const address = '10.96.0.20'

  it('an unreachable host fails with EHOSTUNREACH, an unreachable network with ENETUNREACH', limit, async () => {
    assert.equal((await world().app('exchange', { address: '10.96.1.10', port: PORT.echo })).code, 'EHOSTUNREACH')
    assert.equal((await world().app('exchange', { address: '10.96.2.10', port: PORT.echo })).code, 'ENETUNREACH')
  })

  it('a black hole stays silent until the app gives up', limit, async () => {
    const { code } = await world().app('exchange', { address: '10.96.3.10', port: PORT.echo, timeoutMs: 4000 })
    assert.equal(code, 'still waiting')
  })

  it('an app can listen on the port number that it dials', limit, async () => {
    await world().app('hold', { address, halfClose: false, id: 1, port: PORT.echo, send: 'x', timeoutMs: 2000 })
    assert.equal((await world().app('listen', { port: PORT.echo })).code, 'ok')
    await world().app('held', { id: 1 })
    const outcome = await world().app('exchange', { address, port: PORT.echo, send: 'hello' })
    // Without tproxy the app's own listener is in the way: then the connection fails and says so, but reaches nobody else.
    if (mode === 'tproxy') assert.equal(outcome.text, 'hello')
    else assert.equal(outcome.code, 'EHOSTUNREACH')
    await world().app('listen', { port: 25_100 })
  })

  it('thousands of connections that the app resets do not disturb another one', limit, async () => {
    await world().app('hold', { address, halfClose: false, id: 9, port: PORT.echo, send: 'x', timeoutMs: 25_000 })
    assert.deepEqual(await world().app('reuse', { address, localPort: 25_004, order: 'reset', times: 2500 }), { codes: ['ok'], good: 2500 })
    await world().app('exchange', { address, halfClose: false, port: PORT.loseSessions })
    const { code, text } = await world().app('held', { id: 9 })
    assert.deepEqual({ code, text }, { code: 'ECONNRESET', text: 'x' })
  })

  it('a lost session resets open connections, and none sees a false end', limit, async () => {
    await world().app('hold', { address, halfClose: false, id: 2, port: PORT.echo, send: 'x' })
    await world().app('hold', { address, halfClose: true, id: 3, port: PORT.byeFirst + 3, send: 'x' })
    await world().app('exchange', { address, halfClose: false, port: PORT.loseSessions })
    for (const id of [2, 3]) {
      const { code, ended } = await world().app('held', { id })
      assert.deepEqual({ code, ended, id }, { code: 'ECONNRESET', ended: false, id })
    }
    assert.equal((await world().app('exchange', { address, port: PORT.echo, send: 'again' })).text, 'again')
  })

  it('the death of the process resets idle and busy connections, and none sees a false end', limit, async () => {
    await world().app('hold', { address, halfClose: false, id: 4, port: PORT.echo, send: 'x' })
    await world().app('hold', { address, halfClose: false, id: 5, port: PORT.endless })
    await world().app('hold', { address, halfClose: true, id: 6, port: PORT.endless })
    const killed = performance.now()
    await world().gate.kill()
    for (const id of [4, 5, 6]) {
      const { code, ended } = await world().app('held', { id })
      assert.deepEqual({ code, ended, id }, { code: 'ECONNRESET', ended: false, id })
    }
    assert.ok(performance.now() - killed < 2000)
  })

  it('an app that reads late gets everything after a death of the process, or a reset, but never a shorter stream', limit, async () => {
    for (const bytes of [100_000, 3 * MEGABYTE, 30 * MEGABYTE]) {
      await startGate(world())
      const reading = world().app('readLate', { address, afterMs: 1000, bytes })
      await sleep(500)
      await world().gate.kill()
      const outcome = await reading
      if (outcome.ended) assert.deepEqual(outcome, { bytes, code: 'ok', ended: true })
      else assert.equal(outcome.code, 'ECONNRESET')
    }
  })

  it('while the process is away a connect waits, and succeeds when it is back', limit, async () => {
    const waiting = world().app('exchange', { address, port: PORT.echo, send: 'patience' })
    await sleep(1500)
    await world().gate.restart()
    const { code, text } = await waiting
    assert.deepEqual({ code, text }, { code: 'ok', text: 'patience' })
    assert.equal((await world().app('exchange', { address, port: PORT.echo, send: 'x' })).code, 'ok')
  })

  it('without a session a connect is held, then fails with EHOSTUNREACH', limit, async () => {
    await world().app('exchange', { address, halfClose: false, port: PORT.awayFor, send: '8000' })
    const { code, ms } = await world().app('exchange', { address, port: PORT.echo })
    assert.equal(code, 'EHOSTUNREACH')
    assert.ok(ms > 4500 && ms < 8000, `after ${ms} ms`)
  })

  it('a connect that is held survives the return of the session', limit, async () => {
    // The session of the test before this one comes back about 3 s later.
    const { ms, text } = await world().app('exchange', { address, port: PORT.echo, send: 'patience' })
    assert.equal(text, 'patience')
    assert.ok(ms > 500, `after ${ms} ms`)
  })

  it('setSubnets() takes routes away at run time, resets their connections, and keeps the others', limit, async () => {
    await world().app('hold', { address, halfClose: false, id: 7, port: PORT.echo, send: 'x' })
    await world().gate.kill('USR2')
    await world().gate.waitForLog(/^subnets changed/)
    assert.equal((await world().app('held', { id: 7 })).code, 'ECONNRESET')
    const routes = await routesOf(world().holder)
    assert.match(routes, /^10\.96\.1\.0\/24 dev tpx0/m)
    assert.doesNotMatch(routes, /10\.96\.0\.0\/24/)
  })

  it('without the device a guard route answers, and nothing leaks', limit, async () => {
    // The process ends with its device, and the command with the process.
    await world()
      .gate.exec('ip', 'link', 'del', 'tpx0')
      .catch(() => {})
    await world().gate.waitForLog(/was taken away/)
    const { code, ms } = await world().app('exchange', { address: '10.96.1.10', port: PORT.echo })
    assert.equal(code, 'EHOSTUNREACH')
    assert.ok(ms < 500, `after ${ms} ms`)
    await startGate(world())
    assert.match(await routesOf(world().holder), /^10\.96\.0\.0\/24 dev tpx0/m)
    assert.equal((await world().app('exchange', { address, port: PORT.echo, send: 'x' })).code, 'ok')
  })

  it('SIGTERM ends the process in order, and connections with a reset', limit, async () => {
    await world().app('hold', { address, halfClose: false, id: 8, port: PORT.echo, send: 'x' })
    await world().gate.kill('TERM')
    assert.equal((await world().app('held', { id: 8 })).code, 'ECONNRESET')
  })
}
