import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRequest } from '../../../src/wire/data-stream.ts'
import type { Offer } from '../../../src/wire/mux.ts'
import { type Developer, openDeveloper, startRig } from './agent-rig.ts'
import { ask, closedPort, connect, echoServer, listen, readAll, readBytes, until } from './sockets.ts'

type Rig = Awaited<ReturnType<typeof startRig>>

/** Makes the developer's side serve the port. */
async function divert(rig: Rig, dial: number | ((offer: Offer) => void)): Promise<Developer> {
  rig.table.update([rig.attachment()], new Set(), true)
  const developer = await openDeveloper(rig.apiPort, dial)
  await until(() => rig.table.route('app', rig.attachment().containerPort) !== undefined)
  return developer
}

test('PortRelay sends connections to the app when there is no attachment, and when nobody serves it', async () => {
  await using app = await echoServer('app')
  using rig = await startRig({ appPort: app.port })
  assert.deepEqual(await ask(rig.relayPort, 'hello'), { bytes: 'app:hello', end: 'fin' })
  rig.table.update([rig.attachment()], new Set(), true)
  assert.deepEqual(await ask(rig.relayPort, 'hello'), { bytes: 'app:hello', end: 'fin' })
})

test('PortRelay sends connections to the developer while the pipe is up, and tells the caller’s address', async () => {
  await using app = await echoServer('app')
  await using own = await echoServer('developer')
  using rig = await startRig({ appPort: app.port })
  const developer = await divert(rig, own.port)
  assert.deepEqual(await ask(rig.relayPort, 'hello'), { bytes: 'developer:hello', end: 'fin' })
  const request = parseRequest(developer.requests[0] ?? '')
  assert.deepEqual(request?.destination, { host: '127.0.0.1', port: 8080 })
  assert.equal(request?.source?.host, '127.0.0.1')
  developer.socket.destroy()
  await until(() => rig.table.route('app', app.port) === undefined)
  assert.deepEqual(await ask(rig.relayPort, 'hello'), { bytes: 'app:hello', end: 'fin' })
})

// Honesty: what happens at one end happens at the other. `to` is who serves.
for (const to of ['app', 'developer'] as const) {
  const start = async () => {
    const app = await listen()
    const rig = await startRig({ appPort: to === 'app' ? app.port : await closedPort() })
    const developer = to === 'developer' ? await divert(rig, app.port) : undefined
    const caller = await connect(rig.relayPort)
    const server = await app.next()
    return {
      app,
      caller,
      rig,
      server,
      [Symbol.asyncDispose]: async () => {
        caller.destroy()
        developer?.[Symbol.dispose]()
        rig[Symbol.dispose]()
        await app[Symbol.asyncDispose]()
      },
    }
  }

  test(`PortRelay to the ${to}: the caller’s FIN arrives while the answer still flows`, async () => {
    await using world = await start()
    world.caller.end('question')
    assert.deepEqual(await readAll(world.server), { bytes: 'question', end: 'fin' })
    const answer = readAll(world.caller)
    world.server.write('one,')
    world.server.end('two')
    assert.deepEqual(await answer, { bytes: 'one,two', end: 'fin' })
  })

  test(`PortRelay to the ${to}: the server’s FIN arrives while the caller still sends`, async () => {
    await using world = await start()
    world.server.end('greeting')
    assert.deepEqual(await readAll(world.caller), { bytes: 'greeting', end: 'fin' })
    const rest = readAll(world.server)
    world.caller.write('still ')
    world.caller.end('here')
    assert.deepEqual(await rest, { bytes: 'still here', end: 'fin' })
  })

  test(`PortRelay to the ${to}: the server’s reset is a reset for the caller`, async () => {
    await using world = await start()
    world.server.write('x')
    assert.equal(await readBytes(world.caller, 1), 'x')
    world.server.resetAndDestroy()
    assert.equal((await readAll(world.caller)).end, 'reset')
  })

  test(`PortRelay to the ${to}: the caller’s reset is a reset for the server`, async () => {
    await using world = await start()
    world.caller.write('x')
    assert.equal(await readBytes(world.server, 1), 'x')
    world.caller.resetAndDestroy()
    assert.equal((await readAll(world.server)).end, 'reset')
  })

  test(`PortRelay to the ${to}: a reset after the caller’s FIN is still a reset`, async () => {
    await using world = await start()
    world.caller.end('x')
    assert.deepEqual(await readAll(world.server), { bytes: 'x', end: 'fin' })
    world.server.resetAndDestroy()
    assert.equal((await readAll(world.caller)).end, 'reset')
  })

  test(`PortRelay to the ${to}: 8 MiB arrive whole in both directions at once`, async () => {
    await using world = await start()
    const big = Buffer.alloc(8 << 20, 'abcdefg')
    const [atServer, atCaller] = [readAll(world.server), readAll(world.caller)]
    world.caller.end(big)
    world.server.end(big)
    assert.equal((await atServer).bytes.length, big.length)
    assert.equal((await atCaller).bytes.length, big.length)
  })

  test(`PortRelay to the ${to}: a refusal is a reset for the caller`, async () => {
    using rig = await startRig({ appPort: await closedPort() })
    const developer = to === 'developer' ? await divert(rig, await closedPort()) : undefined
    assert.deepEqual(await ask(rig.relayPort, 'hello'), { bytes: '', end: 'reset' })
    assert.equal(developer?.requests.length ?? 1, 1)
    developer?.[Symbol.dispose]()
  })
}

test('PortRelay resets the connections of a pipe that ended, and new ones go to the app', async () => {
  await using app = await echoServer('app')
  await using own = await listen()
  using rig = await startRig({ appPort: app.port })
  const developer = await divert(rig, own.port)
  const open = await connect(rig.relayPort)
  const halfClosed = await connect(rig.relayPort)
  open.write('x')
  halfClosed.end('x')
  await Promise.all([own.next(), own.next()])
  await until(() => own.sockets.every((socket) => socket.bytesRead > 0))
  const ends = [readAll(open), readAll(halfClosed)]
  developer.mux.destroy()
  assert.deepEqual(
    (await Promise.all(ends)).map(({ end }) => end),
    ['reset', 'reset'],
  )
  assert.equal((await ask(rig.relayPort, 'hello')).bytes, 'app:hello')
})

test('PortRelay keeps the connections of a pipe that is cut, and gives new ones to the app meanwhile', async () => {
  await using app = await echoServer('app')
  await using own = await echoServer('developer')
  using rig = await startRig({ appPort: app.port })
  using developer = await divert(rig, own.port)
  const open = await connect(rig.relayPort)
  const seen = readAll(open)
  open.write('before,')
  await until(() => own.sockets.some((socket) => socket.bytesRead > 0))
  developer.socket.destroy()
  await until(() => rig.table.route('app', app.port) === undefined)
  assert.equal((await ask(rig.relayPort, 'hello')).bytes, 'app:hello')
  open.end('after')
  await developer.resume()
  assert.deepEqual(await seen, { bytes: 'developer:before,after', end: 'fin' })
  assert.equal((await ask(rig.relayPort, 'hello')).bytes, 'developer:hello')
})

test('PortRelay resets the connections of a pipe that is cut when its owner has begun another one', async () => {
  await using app = await echoServer('app')
  await using own = await listen()
  using rig = await startRig({ appPort: app.port })
  const crashed = await divert(rig, own.port)
  const open = await connect(rig.relayPort)
  open.write('x')
  await until(() => own.sockets.some((socket) => socket.bytesRead > 0))
  const end = readAll(open)
  crashed.socket.destroy()
  await until(() => rig.table.route('app', app.port) === undefined)
  using _next = await openDeveloper(rig.apiPort, own.port)
  assert.equal((await end).end, 'reset')
})

test('PortRelay gives a caller to the app when the session goes before it answered', async () => {
  await using app = await echoServer('app')
  using rig = await startRig({ appPort: app.port })
  let asked = 0
  const developer = await divert(rig, () => asked++)
  const answers = [ask(rig.relayPort, 'one'), ask(rig.relayPort, 'two')]
  await until(() => asked === 2)
  developer.socket.destroy()
  assert.deepEqual(
    (await Promise.all(answers)).map(({ bytes }) => bytes),
    ['app:one', 'app:two'],
  )
})

test('PortRelay gives a caller to the newer session when the old one goes before it answered', async () => {
  await using app = await echoServer('app')
  await using own = await echoServer('developer')
  using rig = await startRig({ appPort: app.port })
  let asked = 0
  const old = await divert(rig, () => asked++)
  const answer = ask(rig.relayPort, 'one')
  await until(() => asked === 1)
  using newer = await openDeveloper(rig.apiPort, own.port)
  old.socket.destroy()
  assert.equal((await answer).bytes, 'developer:one')
  assert.equal(newer.requests.length, 1)
})

test('PortRelay sends new connections to the newest session while those of the old one live on', async () => {
  await using app = await echoServer('app')
  await using first = await echoServer('first')
  await using second = await echoServer('second')
  using rig = await startRig({ appPort: app.port })
  using _old = await divert(rig, first.port)
  const early = await connect(rig.relayPort)
  const seen = readAll(early)
  early.write('early')
  await first.next()
  using newer = await openDeveloper(rig.apiPort, second.port)
  assert.equal((await ask(rig.relayPort, 'late')).bytes, 'second:late')
  early.end()
  assert.deepEqual(await seen, { bytes: 'first:early', end: 'fin' })
  newer.mux.destroy()
  await new Promise((resolve) => setTimeout(resolve, 20))
  assert.equal((await ask(rig.relayPort, 'back')).bytes, 'first:back')
})

test('PortRelay withdraws a request when its caller leaves before the answer', async () => {
  await using app = await echoServer('app')
  using rig = await startRig({ appPort: app.port })
  const offers: Offer[] = []
  using _developer = await divert(rig, (offer) => offers.push(offer))
  const caller = await connect(rig.relayPort)
  await until(() => offers.length === 1)
  caller.resetAndDestroy()
  await until(() => offers[0]?.gone.aborted === true)
  await until(() => rig.relay.connections === 0)
  assert.equal(app.sockets.length, 0)
})

test('PortRelay resets connections and frees the port when the manager removes the attachment', async () => {
  await using app = await echoServer('app')
  await using own = await listen()
  using rig = await startRig({ appPort: app.port })
  using _developer = await divert(rig, own.port)
  const caller = await connect(rig.relayPort)
  const halfClosed = await connect(rig.relayPort)
  halfClosed.end('x')
  await Promise.all([own.next(), own.next()])
  await until(() => own.sockets.some((socket) => socket.bytesRead > 0))
  const ends = [readAll(caller), readAll(halfClosed)]
  rig.table.update([], new Set(), true)
  assert.deepEqual(
    (await Promise.all(ends)).map(({ end }) => end),
    ['reset', 'reset'],
  )
  assert.equal((await ask(rig.relayPort, 'hello')).bytes, 'app:hello')
})

test('PortRelay lets the server speak first', async () => {
  await using app = await listen((socket) => socket.write('220 ready'))
  using rig = await startRig({ appPort: app.port })
  const caller = await connect(rig.relayPort)
  assert.equal(await readBytes(caller, 9), '220 ready')
  caller.destroy()
})
