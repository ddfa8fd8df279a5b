import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import { silentLogger } from '../../../src/base/logger.ts'
import { encodeIpPacket, parseIpPacket, PROTOCOL } from '../../../src/netstack/ip-packet.ts'
import { parseTcpSegment, TCP_FLAG } from '../../../src/netstack/tcp-segment.ts'
import { ALWAYS_ADMITTED } from '../../../src/tunnel/admission.ts'
import { ADMISSION_TIMEOUT_MS, repeatDueMs } from '../../../src/tunnel/connection-attempt.ts'
import type { Dialer } from '../../../src/tunnel/dialer.ts'
import { MAX_ATTEMPTS, SynGate } from '../../../src/tunnel/syn-gate.ts'
import { DialError } from '../../../src/wire/mux.ts'
import type { MuxStream } from '../../../src/wire/mux-stream.ts'

type Dial = { reject: (code: string) => void; resolve: (stream: MuxStream) => void; signal: AbortSignal }

/** A gate whose dials the test decides, and what it has sent into the namespace. */
function aGate() {
  const dials: Dial[] = []
  const sent: Uint8Array[] = []
  const dialer: Pick<Dialer, 'tcp'> = {
    tcp: (_, { signal }) =>
      new Promise((resolve, reject) => void dials.push({ reject: (code) => reject(new DialError(code)), resolve, signal })),
  }
  const gate = new SynGate({ admission: ALWAYS_ADMITTED, dialer, logger: silentLogger(), send: (packet) => void sent.push(packet) })
  const syn = (sequenceNumber = 1, sourcePort = 40_000): Uint8Array => {
    const bytes = aSyn(sequenceNumber, sourcePort)
    const packet = parseIpPacket(bytes)
    const segment = packet && parseTcpSegment(packet)
    assert.ok(segment)
    gate.onRequest(packet, segment)
    return bytes
  }
  return { dials, gate, sent, syn }
}

function aSyn(sequenceNumber: number, sourcePort: number): Uint8Array {
  const payload = new Uint8Array(20)
  const view = new DataView(payload.buffer)
  view.setUint16(0, sourcePort)
  view.setUint16(2, 80)
  view.setUint32(4, sequenceNumber)
  view.setUint8(12, 0x50)
  view.setUint8(13, TCP_FLAG.syn)
  return encodeIpPacket({ destination: Uint8Array.of(10, 96, 0, 1), payload, protocol: PROTOCOL.tcp, source: Uint8Array.of(198, 18, 0, 1) })
}

/** What a stream or a socket does when it is thrown away. */
function aStream() {
  const destroyed: unknown[] = []
  const stream = Object.assign(new EventEmitter(), { destroy: (error: unknown) => void destroyed.push(error) })
  return { destroyed, stream: stream as unknown as MuxStream }
}

function aSocket(remotePort = 40_000) {
  let resets = 0
  const socket = Object.assign(new EventEmitter(), {
    localAddress: '10.96.0.1',
    localPort: 80,
    remoteAddress: '198.18.0.1',
    remotePort,
    resetAndDestroy: () => void resets++,
  })
  return { resets: () => resets, socket: socket as unknown as Socket }
}

const flags = (bytes: Uint8Array | undefined): number | undefined => {
  const packet = bytes && parseIpPacket(bytes)
  return packet && parseTcpSegment(packet)?.flags
}
const icmp = (bytes: Uint8Array | undefined): number[] => Array.from((bytes && parseIpPacket(bytes)?.payload) ?? []).slice(0, 2)
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('SynGate', () => {
  it('onRequest() sends the same SYN back when the far side accepts', async () => {
    const { dials, sent, syn } = aGate()
    const bytes = syn()
    assert.equal(sent.length, 0)
    dials[0]?.resolve(aStream().stream)
    await settle()
    assert.deepEqual(sent, [bytes])
  })

  it('onRequest() answers what the far side said', async () => {
    for (const [code, check] of [
      ['ECONNREFUSED', (bytes: Uint8Array) => assert.equal(flags(bytes), TCP_FLAG.rst | TCP_FLAG.ack)],
      ['EHOSTUNREACH', (bytes: Uint8Array) => assert.deepEqual(icmp(bytes), [3, 1])],
      ['ENETUNREACH', (bytes: Uint8Array) => assert.deepEqual(icmp(bytes), [3, 0])],
      ['EADDRNOTAVAIL', (bytes: Uint8Array) => assert.deepEqual(icmp(bytes), [3, 1])],
    ] as const) {
      const { dials, sent, syn } = aGate()
      syn()
      dials[0]?.reject(code)
      await settle()
      assert.equal(sent.length, 1)
      check(sent[0] ?? new Uint8Array())
    }
  })

  it('onRequest() stays silent on a timeout, and dials again when the SYN is repeated', async () => {
    const { dials, sent, syn } = aGate()
    syn()
    dials[0]?.reject('ETIMEDOUT')
    await settle()
    assert.equal(sent.length, 0)
    syn()
    assert.equal(dials.length, 2)
  })

  it('onRequest() lets the app in and resets it when the far side accepted and reset at once', async () => {
    const { dials, gate, sent, syn } = aGate()
    const bytes = syn()
    dials[0]?.reject('ECONNRESET')
    await settle()
    assert.deepEqual(sent, [bytes])
    const { resets, socket } = aSocket()
    gate.onAccepted(socket)
    assert.equal(resets(), 1)
  })

  it('onRequest() dials once for a repeated SYN, and writes it back again when it was admitted', async () => {
    const { dials, sent, syn } = aGate()
    syn()
    syn()
    assert.equal(dials.length, 1)
    dials[0]?.resolve(aStream().stream)
    await settle()
    syn()
    assert.equal(sent.length, 2)
    assert.equal(dials.length, 1)
  })

  it('onRequest() gives the old attempt up for a new SYN on the same ports', async () => {
    const { dials, sent, syn } = aGate()
    syn(1)
    syn(2)
    assert.equal(dials.length, 2)
    assert.equal(dials[0]?.signal.aborted, true)
    const { destroyed, stream } = aStream()
    dials[0]?.resolve(stream)
    await settle()
    assert.equal(destroyed.length, 1, 'a stream that comes too late is reset')
    assert.equal(sent.length, 0)
  })

  it('onRequest() drops SYNs beyond the limit', () => {
    const { dials, gate, syn } = aGate()
    for (let n = 0; n <= MAX_ATTEMPTS; n++) syn(1, n + 1)
    assert.equal(dials.length, MAX_ATTEMPTS)
    gate.stop()
    assert.ok(dials.every(({ signal }) => signal.aborted))
  })

  it('gives an attempt up when the app repeats its SYN no longer', (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const { dials, syn } = aGate()
    syn()
    t.mock.timers.tick(repeatDueMs(0) - 1)
    assert.equal(dials[0]?.signal.aborted, false)
    t.mock.timers.tick(1)
    assert.equal(dials[0]?.signal.aborted, true)
  })

  it('repeatDueMs() leaves time for the kernel, whose waits double', () => {
    for (const [last, next] of [
      [0, 1],
      [1, 3],
      [3, 7],
      [7, 15],
      [15, 31],
      [31, 63],
    ] as const)
      assert.ok(repeatDueMs(last * 1000) > next * 1000)
  })

  it('resets the far side when an admitted app does not come', async (t) => {
    const { dials, syn } = aGate()
    syn()
    const { destroyed, stream } = aStream()
    t.mock.timers.enable({ apis: ['setTimeout'] })
    dials[0]?.resolve(stream)
    await settle()
    t.mock.timers.tick(ADMISSION_TIMEOUT_MS)
    assert.equal(destroyed.length, 1)
  })

  it('onAccepted() resets a socket whose far side was lost meanwhile, and one that nobody waits for', async () => {
    const { dials, gate, syn } = aGate()
    syn()
    const { stream } = aStream()
    dials[0]?.resolve(stream)
    await settle()
    stream.emit('close')
    const lost = aSocket()
    gate.onAccepted(lost.socket)
    assert.equal(lost.resets(), 1)
    const stray = aSocket(50_000)
    gate.onAccepted(stray.socket)
    assert.equal(stray.resets(), 1)
  })
})
