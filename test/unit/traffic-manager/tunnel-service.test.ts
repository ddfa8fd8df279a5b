// Telepresence's tunnels end to end: real gRPC and real sockets on loopback.
import assert from 'node:assert/strict'
import dgram from 'node:dgram'
import { once } from 'node:events'
import net from 'node:net'
import { describe, it } from 'node:test'
import { create } from '@bufbuild/protobuf'
import type * as grpc from '@grpc/grpc-js'
import { type ConnectionId, decodeConnectionId } from '../../../src/wire/connection-id.ts'
import { type DialRequest, type TunnelMessage, TunnelMessageSchema } from '../../../src/wire/generated/manager_pb.ts'
import { decodeTunnelPayload, encodeTunnelPayload, type TunnelPayload } from '../../../src/wire/tunnel-message.ts'
import { startAgentApi } from './agent-fixture.ts'
import { aSpec, eventually, startManager } from './manager-fixture.ts'

/** The calling side of a tunnel. */
function caller(call: grpc.ClientDuplexStream<TunnelMessage, TunnelMessage>) {
  const seen: TunnelPayload[] = []
  const ended = new Promise<number>((resolve) => {
    call.on('data', ({ payload }: TunnelMessage) => seen.push(decodeTunnelPayload(payload)))
    call.on('end', () => resolve(0)).on('error', (error: grpc.ServiceError) => resolve(error.code))
  })
  return {
    call,
    data: () => Buffer.concat(seen.flatMap((payload) => (payload.kind === 'normal' ? [payload.data] : []))).toString(),
    ended,
    kinds: () => seen.map(({ kind }) => kind),
    send: (payload: TunnelPayload) => call.write(create(TunnelMessageSchema, { payload: encodeTunnelPayload(payload) })),
  }
}

const idTo = (port: number, protocol: 'tcp' | 'udp' = 'tcp'): ConnectionId => ({
  destination: { address: '127.0.0.1', port },
  protocol,
  source: { address: '10.1.2.3', port: 40_000 },
})

const streamInfo = (connectionId: ConnectionId, sessionId: string): TunnelPayload => ({
  connectionId,
  dialTimeoutNs: 100_000_000n,
  kind: 'streamInfo',
  roundtripLatencyNs: 100_000_000n,
  sessionId,
  version: 2,
})

async function listening(server: net.Server): Promise<number> {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return (server.address() as net.AddressInfo).port
}

describe('Manager.Tunnel outbound', () => {
  it('says streamOk, dialOk, the data, and closeSend after the cluster ended its side', async () => {
    await using manager = await startManager()
    const server = net.createServer({ allowHalfOpen: true }, (socket) => {
      let question = ''
      socket.on('data', (chunk) => (question += chunk)).on('end', () => socket.end(`${question}!`))
    })
    const session = await manager.arrive()
    const tunnel = caller(manager.client.tunnel())
    tunnel.send(streamInfo(idTo(await listening(server)), session.sessionId))
    tunnel.send({ data: Buffer.from('hello'), kind: 'normal' })
    tunnel.call.end()
    assert.equal(await tunnel.ended, 0)
    assert.equal(tunnel.data(), 'hello!')
    assert.deepEqual(tunnel.kinds(), ['streamOk', 'dialOk', 'normal', 'closeSend'])
    server.close()
  })

  it('carries megabytes both ways without losing any', async () => {
    await using manager = await startManager()
    const server = net.createServer((socket) => socket.pipe(socket))
    const session = await manager.arrive()
    const tunnel = caller(manager.client.tunnel())
    tunnel.send(streamInfo(idTo(await listening(server)), session.sessionId))
    const chunk = Buffer.alloc(256 << 10, 'x')
    for (let at = 0; at < 16; at++) tunnel.send({ data: chunk, kind: 'normal' })
    tunnel.call.end()
    await tunnel.ended
    assert.equal(tunnel.data().length, 16 * chunk.length)
    server.close()
  })

  it('says dialReject when nobody listens', async () => {
    await using manager = await startManager()
    const session = await manager.arrive()
    const tunnel = caller(manager.client.tunnel())
    tunnel.send(streamInfo(idTo(1), session.sessionId))
    assert.equal(await tunnel.ended, 0)
    assert.deepEqual(tunnel.kinds(), ['streamOk', 'dialReject'])
  })

  it('resets the connection in the cluster when the caller cancels, or its session ends', async () => {
    await using manager = await startManager()
    const closed: (() => void)[] = []
    const server = net.createServer((socket) => void socket.on('error', () => {}).once('close', () => closed.shift()?.()))
    const port = await listening(server)
    for (const end of ['cancel', 'depart']) {
      const session = await manager.arrive()
      const tunnel = caller(manager.client.tunnel())
      const gone = new Promise<void>((resolve) => void closed.push(resolve))
      tunnel.send(streamInfo(idTo(port), session.sessionId))
      await eventually(() => tunnel.kinds().includes('dialOk'))
      if (end === 'cancel') tunnel.call.cancel()
      else await manager.client.depart(session)
      await Promise.all([gone, tunnel.ended])
    }
    server.close()
  })

  it('says disconnect when the cluster resets', async () => {
    await using manager = await startManager()
    const server = net.createServer((socket) => socket.once('data', () => socket.resetAndDestroy()))
    const session = await manager.arrive()
    const tunnel = caller(manager.client.tunnel())
    tunnel.send(streamInfo(idTo(await listening(server)), session.sessionId))
    tunnel.send({ data: Buffer.from('x'), kind: 'normal' })
    await tunnel.ended
    assert.deepEqual(tunnel.kinds(), ['streamOk', 'dialOk', 'disconnect'])
    server.close()
  })

  it('carries one datagram a message', async () => {
    await using manager = await startManager()
    const echo = dgram.createSocket('udp4').on('message', (data, from) => echo.send(data, from.port, from.address))
    await once(echo.bind(0, '127.0.0.1'), 'listening')
    const session = await manager.arrive()
    const tunnel = caller(manager.client.tunnel())
    tunnel.send(streamInfo(idTo(echo.address().port, 'udp'), session.sessionId))
    tunnel.send({ data: Buffer.from('ping'), kind: 'normal' })
    await eventually(() => tunnel.data() === 'ping')
    tunnel.call.end()
    assert.equal(await tunnel.ended, 0)
    echo.close()
  })

  it('refuses a caller without a session, and one that does not introduce itself', async () => {
    await using manager = await startManager()
    const nobody = caller(manager.client.tunnel())
    nobody.send(streamInfo(idTo(1), 'nobody'))
    const rude = caller(manager.client.tunnel())
    rude.send({ kind: 'dialOk' })
    assert.deepEqual([await nobody.ended, await rude.ended], [5, 3])
  })
})

describe('Manager.Tunnel relay', () => {
  async function relayed() {
    const manager = await startManager()
    const agents = await startAgentApi(manager)
    const session = await manager.arrive()
    const client = manager.state.clients.get(session.sessionId)!
    manager.state.attach(client, aSpec())
    const dials: DialRequest[] = []
    manager.client
      .watchDial(session)
      .on('data', (request: DialRequest) => dials.push(request))
      .on('error', () => {})
    const agentSession = await agents.arrive()
    const open = (alias: string) => {
      const tunnel = caller(agents.client.tunnel(agents.metadata))
      tunnel.send(streamInfo(idTo(8080), agentSession.sessionId))
      tunnel.send({ kind: 'session', sessionId: alias })
      return tunnel
    }
    const dispose = async () => {
      await agents[Symbol.asyncDispose]()
      await manager[Symbol.asyncDispose]()
    }
    return { agents, client, dials, manager, open, session, [Symbol.asyncDispose]: dispose }
  }

  it('asks the client to dial and joins both tunnels, translating half-close to closeSend', async () => {
    await using relay = await relayed()
    const agentTunnel = relay.open(relay.client.alias)
    const dial = await eventually(() => relay.dials[0])
    assert.deepEqual(decodeConnectionId(dial.connId), idTo(8080))
    assert.equal(dial.dialTimeout, 100_000_000n)
    const clientTunnel = caller(relay.manager.client.tunnel())
    clientTunnel.send(streamInfo(idTo(8080), relay.session.sessionId))
    clientTunnel.send({ kind: 'dialOk' })
    await eventually(() => agentTunnel.kinds().includes('dialOk'))
    agentTunnel.send({ data: Buffer.from('question'), kind: 'normal' })
    agentTunnel.call.end()
    await eventually(() => clientTunnel.kinds().includes('closeSend'))
    assert.equal(clientTunnel.data(), 'question')
    clientTunnel.send({ data: Buffer.from('answer'), kind: 'normal' })
    clientTunnel.call.end()
    assert.deepEqual(await Promise.all([agentTunnel.ended, clientTunnel.ended]), [0, 0])
    assert.equal(agentTunnel.data(), 'answer')
    assert.deepEqual(agentTunnel.kinds(), ['streamOk', 'dialOk', 'normal', 'closeSend'])
  })

  it('rejects when the client does not answer in time, and one whose session id was guessed', async () => {
    await using relay = await relayed()
    const stranger = relay.open('somebody else')
    assert.equal(await stranger.ended, 5)
    const bearer = relay.open(relay.session.sessionId)
    assert.equal(await bearer.ended, 5)
    const unanswered = relay.open(relay.client.alias)
    assert.equal(await unanswered.ended, 0)
    assert.deepEqual(unanswered.kinds(), ['streamOk', 'dialReject'])
  })

  it("ends the agent's tunnel when the client cancels its own", async () => {
    await using relay = await relayed()
    const agentTunnel = relay.open(relay.client.alias)
    await eventually(() => relay.dials[0])
    const clientTunnel = caller(relay.manager.client.tunnel())
    clientTunnel.send(streamInfo(idTo(8080), relay.session.sessionId))
    clientTunnel.send({ kind: 'dialOk' })
    await eventually(() => agentTunnel.kinds().includes('dialOk'))
    clientTunnel.call.cancel()
    await agentTunnel.ended
    assert.equal(agentTunnel.kinds().at(-1), 'disconnect')
  })
})
