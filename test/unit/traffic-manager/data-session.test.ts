import assert from 'node:assert/strict'
import dgram from 'node:dgram'
import { once } from 'node:events'
import net from 'node:net'
import { buffer } from 'node:stream/consumers'
import { describe, it } from 'node:test'
import { LengthPrefixReader, withLength } from '../../../src/base/length-prefix.ts'
import { checkDestination, type Dialer, dialerWith } from '../../../src/outbound/dialer.ts'
import { encodeEchoMessage, parseEchoMessage } from '../../../src/wire/echo-message.ts'
import { DialError } from '../../../src/wire/mux.ts'
import { openTpxStream } from '../../../src/wire/preface.ts'
import { openMux } from '../wire/mux-fixture.ts'
import { eventually, startManager } from './manager-fixture.ts'

type Manager = Awaited<ReturnType<typeof startManager>>

async function openData(manager: Manager) {
  const session = await manager.arrive()
  const socket = net.connect(manager.port, '127.0.0.1')
  await once(socket, 'connect')
  const { mux, resume } = await openMux(socket, 'data', session.sessionId)
  return { mux, resume, session, socket }
}

async function serve(onSocket: (socket: net.Socket) => void) {
  const server = net.createServer({ allowHalfOpen: true }, onSocket).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  return { authority: `127.0.0.1:${port}`, port, [Symbol.asyncDispose]: async () => void server.close() }
}

describe('TPX/1 data', () => {
  it('refuses a session that does not exist, and verbs that it does not know', async () => {
    await using manager = await startManager()
    for (const [verb, code] of [
      ['data', 'SESSION_LOST'],
      ['sing', 'USAGE'],
    ] as const) {
      const socket = net.connect(manager.port, '127.0.0.1')
      await assert.rejects(openTpxStream(socket, verb, 'nobody', 'a'.repeat(32), '0', '1000'), { code })
      socket.destroy()
    }
  })

  it('dials, copies both ways, and keeps a half-close a half-close', async () => {
    await using manager = await startManager()
    // Answers only after the end of the question.
    await using server = await serve(async (socket) => socket.end(`${String(await buffer(socket))}!`))
    const { mux, socket } = await openData(manager)
    const stream = await mux.open(`tcp ${server.authority}`)
    stream.end('hello')
    assert.equal(String(await buffer(stream)), 'hello!')
    socket.destroy()
  })

  it('says honestly why it cannot dial', async () => {
    await using manager = await startManager()
    const { mux, socket } = await openData(manager)
    await assert.rejects(mux.open('tcp 127.0.0.1:1'), (error) => error instanceof DialError && error.code === 'ECONNREFUSED')
    await assert.rejects(mux.open('tcp web-app:80'), { code: 'ENOTFOUND' })
    socket.destroy()
  })

  it('a reset on the cluster side is a reset of the stream', async () => {
    await using manager = await startManager()
    await using server = await serve((socket) => socket.once('data', () => socket.resetAndDestroy()))
    const { mux, socket } = await openData(manager)
    const stream = await mux.open(`tcp ${server.authority}`)
    stream.write('x')
    await new Promise(
      (resolve) =>
        void stream
          .on('error', () => {})
          .resume()
          .once('close', resolve),
    )
    assert.ok(stream.errored)
    socket.destroy()
  })

  it('goes on over a new connection; a pipe that it does not know is lost', async () => {
    await using manager = await startManager()
    await using server = await serve((socket) => socket.pipe(socket))
    const { mux, resume, session, socket } = await openData(manager)
    const stream = await mux.open(`tcp ${server.authority}`)
    const answer = buffer(stream)
    stream.write('one ')
    socket.destroy()
    stream.end('two')
    await resume(net.connect(manager.port, '127.0.0.1'))
    assert.equal(String(await answer), 'one two')
    const stray = net.connect(manager.port, '127.0.0.1')
    await assert.rejects(openTpxStream(stray, 'data', session.sessionId, 'a'.repeat(32), '7', '1000'), { code: 'SESSION_LOST' })
    stray.destroy()
    mux.destroy()
  })

  it('resets what hung on a pipe when the same client begins another one', async () => {
    await using manager = await startManager()
    await using server = await serve((socket) => socket.on('error', () => {}).resume())
    const { mux, session } = await openData(manager)
    const stream = await mux.open(`tcp ${server.authority}`)
    const lost = new Promise((resolve) => stream.once('error', resolve))
    const next = await openMux(net.connect(manager.port, '127.0.0.1'), 'data', session.sessionId)
    await lost
    next.mux.destroy()
  })

  it('ends with the session of the client', async () => {
    await using manager = await startManager()
    const gone = Promise.withResolvers<void>()
    await using server = await serve((socket) => void socket.on('error', () => {}).once('close', () => gone.resolve()))
    const { mux, session, socket } = await openData(manager)
    await mux.open(`tcp ${server.authority}`)
    await manager.client.depart(session)
    await Promise.all([once(socket, 'close'), gone.promise])
  })

  it('carries datagrams as datagrams', async () => {
    await using manager = await startManager()
    const echo = dgram.createSocket('udp4').on('message', (data, from) => echo.send(Buffer.concat([data, data]), from.port, from.address))
    echo.bind(0, '127.0.0.1')
    await once(echo, 'listening')
    const { mux, socket } = await openData(manager)
    const stream = await mux.open(`udp 127.0.0.1:${echo.address().port}`)
    const decoder = new LengthPrefixReader()
    const seen: string[] = []
    stream.on('data', (chunk: Buffer) => seen.push(...decoder.push(chunk).map(String)))
    stream.write(Buffer.concat([withLength(Buffer.from('ab')), withLength(Buffer.from('c'))]))
    await eventually(() => seen.length === 2)
    assert.deepEqual(seen.sort(), ['abab', 'cc'])
    socket.destroy()
    echo.close()
  })
})

describe('TPX/1 data with the protocol icmp', () => {
  /** A far side that answers even sequence numbers, and says that odd ones could not be delivered. */
  const ping: Dialer['ping'] = async (address, { onError, onReply }) => {
    if (address === '10.0.0.13') throw new DialError('EACCES')
    return {
      close: () => {},
      send: (sequence, data) => (sequence % 2 === 0 ? onReply(sequence, data) : onError(sequence, 'EHOSTUNREACH')),
    }
  }

  it('sends pings and passes on replies and errors, each with its sequence number', async () => {
    await using manager = await startManager({ dialer: { ...dialerWith(() => {}), ping } })
    const { mux, socket } = await openData(manager)
    const stream = await mux.open('icmp 10.0.0.7:0')
    const decoder = new LengthPrefixReader()
    const seen: unknown[] = []
    stream.on('data', (chunk: Buffer) => seen.push(...decoder.push(chunk).map(parseEchoMessage)))
    const data = Buffer.alloc(60_000, 'x')
    stream.write(withLength(encodeEchoMessage({ data, kind: 'echo', sequence: 65_534 })))
    stream.write(withLength(encodeEchoMessage({ data: Buffer.from('y'), kind: 'echo', sequence: 3 })))
    await eventually(() => seen.length === 2)
    assert.deepEqual(seen, [
      { data, kind: 'echo', sequence: 65_534 },
      { code: 'EHOSTUNREACH', kind: 'error', sequence: 3 },
    ])
    socket.destroy()
  })

  it('says that this Pod may not send pings', async () => {
    await using manager = await startManager({ dialer: { ...dialerWith(() => {}), ping } })
    const { mux, socket } = await openData(manager)
    await assert.rejects(mux.open('icmp 10.0.0.13:0'), { code: 'EACCES' })
    socket.destroy()
  })
})

describe('checkDestination()', () => {
  it("refuses the manager's own Pod, its node's services and what is no address", () => {
    for (const address of ['127.0.0.1', '::1', '0.0.0.0', '169.254.169.254', 'fe80::1', '224.0.0.1', '::ffff:127.0.0.1', 'fd00:ec2::254']) {
      assert.throws(() => checkDestination(address), { code: 'ENETUNREACH' }, address)
    }
    assert.throws(() => checkDestination('web-app'), { code: 'EADDRNOTAVAIL' })
    for (const address of ['10.96.0.1', '192.168.1.1', 'fd00::1', '8.8.8.8']) checkDestination(address)
  })
})
