import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { type TestContext, test } from 'node:test'
import { client, listen, readAll, readBytes, startFixture } from './proxy-fixture.ts'

const GREETING = Buffer.of(5, 1, 0)

/** RFC 1928 §4: version, command, reserved, address type, address, port. */
const requestByName = (name: string, port: number, command = 1): Buffer =>
  Buffer.concat([Buffer.of(5, command, 0, 3, name.length), Buffer.from(name), Buffer.of(port >> 8, port & 255)])

/** Answers what it got, in upper case, after the client's FIN; resets on "reset". */
const shouting = (): net.Server =>
  net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    void readAll(socket)
      .then((bytes) => (bytes.toString() === 'reset' ? socket.resetAndDestroy() : socket.end(bytes.toString().toUpperCase())))
      .catch(() => {})
  })

async function start(t: TestContext) {
  const fixture = await startFixture(t, await listen(t, shouting()))
  return { ...fixture, socket: await client(fixture.proxy.port) }
}

test('SOCKS5 by name: greeting, request and first bytes in one write; half-close goes through', async (t) => {
  const { asked, socket } = await start(t)
  socket.end(Buffer.concat([GREETING, requestByName('web-app', 80), Buffer.from('hello')]))
  const answer = await readAll(socket)
  assert.deepEqual([...answer.subarray(0, 12)], [5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0])
  assert.equal(answer.subarray(12).toString(), 'HELLO')
  assert.deepEqual(asked, [{ host: 'web-app', port: 80 }])
})

test('SOCKS5 byte by byte', async (t) => {
  const { asked, socket } = await start(t)
  for (const byte of Buffer.concat([GREETING, requestByName('a.b', 8080)])) {
    socket.write(Buffer.of(byte))
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.equal((await readBytes(socket, 12))[3], 0)
  assert.deepEqual(asked, [{ host: 'a.b', port: 8080 }])
  socket.end()
  await readAll(socket)
})

const addresses: [string, number[], string][] = [
  ['IPv4', [1, 10, 96, 0, 1], '10.96.0.1'],
  ['IPv6', [4, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 'fd00:0:0:0:0:0:0:1'],
  ['an address written as a name', [3, 9, ...Buffer.from('10.96.0.1')], '10.96.0.1'],
  ['IPv6 in brackets', [3, 5, ...Buffer.from('[::1]')], '::1'],
]
for (const [what, bytes, host] of addresses)
  test(`SOCKS5 by ${what}`, async (t) => {
    const { asked, socket } = await start(t)
    socket.write(Buffer.concat([GREETING, Buffer.of(5, 1, 0, ...bytes, 0, 80)]))
    assert.equal((await readBytes(socket, 12))[3], 0)
    assert.deepEqual(asked, [{ host, port: 80 }])
    socket.end()
    await readAll(socket)
  })

for (const [code, reply] of [
  ['ECONNREFUSED', 5],
  ['ENETUNREACH', 3],
  ['EHOSTUNREACH', 4],
  ['ENOTFOUND', 4],
  ['ETIMEDOUT', 4],
  ['EAGAIN', 1],
] as const)
  test(`SOCKS5 replies ${reply} for ${code}`, async (t) => {
    const { failures, socket } = await start(t)
    socket.write(Buffer.concat([GREETING, requestByName(code, 81)]))
    assert.equal((await readAll(socket))[3], reply)
    assert.deepEqual(
      failures.map((failure) => [failure.code, failure.target.port]),
      [[code, 81]],
    )
    socket.end()
  })

const refused: [string, Buffer, number[]][] = [
  ['a client that wants a password', Buffer.of(5, 1, 2), [5, 0xff]],
  ['BIND', Buffer.concat([GREETING, requestByName('x', 1, 2)]), [5, 0, 5, 7]],
  ['UDP ASSOCIATE', Buffer.concat([GREETING, requestByName('x', 1, 3)]), [5, 0, 5, 7]],
  ['an unknown address type', Buffer.concat([GREETING, Buffer.of(5, 1, 0, 9, 0, 0)]), [5, 0, 5, 8]],
  ['a name with a line break', Buffer.concat([GREETING, requestByName('a\r\nb', 80)]), [5, 0, 5, 4]],
]
for (const [what, bytes, beginning] of refused)
  test(`SOCKS5 refuses ${what} and dials nobody`, async (t) => {
    const { asked, socket } = await start(t)
    socket.write(bytes)
    const answer = await readAll(socket)
    assert.deepEqual([...answer.subarray(0, beginning.length)], beginning)
    assert.deepEqual(asked, [])
    socket.end()
  })

test('A reset of the far side is a reset for the SOCKS5 client', async (t) => {
  const { socket } = await start(t)
  socket.end(Buffer.concat([GREETING, requestByName('web-app', 80), Buffer.from('reset')]))
  socket.resume()
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
  assert.equal(error.code, 'ECONNRESET')
})
