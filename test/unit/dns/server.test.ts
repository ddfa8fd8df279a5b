import assert from 'node:assert/strict'
import dgram from 'node:dgram'
import { once } from 'node:events'
import net from 'node:net'
import { duplexPair, type Duplex } from 'node:stream'
import { test } from 'node:test'
import fc from 'fast-check'
import { LengthPrefixReader, withLength } from '../../../src/base/length-prefix.ts'
import { Resolver } from '../../../src/dns/resolver.ts'
import { startDnsServer } from '../../../src/dns/server.ts'
import { StreamExchange } from '../../../src/dns/stream-exchange.ts'
import { aRecords, makeQuery, read } from './dns-messages.ts'

const addresses = Array.from({ length: 60 }, (_, i) => `10.0.0.${i}`)
const resolver = new Resolver({
  upstreams: {
    cluster: async (name) => ({ rcode: 0, records: aRecords(name, ...addresses) }),
    host: async () => Promise.reject(new Error('none')),
  },
  zone: () => ({
    clusterDomain: 'cluster.local',
    excludeSuffixes: [],
    excludes: [],
    includeSuffixes: [],
    mappings: [],
    namespace: 'shop',
    subnets: [],
  }),
})

test('startDnsServer() answers over UDP with TC and over TCP whole, several on one connection, also after a half-close', async () => {
  const server = await startDnsServer(resolver, { host: '127.0.0.1', port: 0 })
  const udp = dgram.createSocket('udp4')
  const socket = net.connect({ allowHalfOpen: true, host: '127.0.0.1', port: server.port })
  try {
    udp.send(makeQuery('many.shop.svc', 'A'), server.port, '127.0.0.1')
    const [datagram] = (await once(udp, 'message')) as [Buffer]
    assert.equal(read(datagram).decoded.flag_tc, true)

    const both = Buffer.concat([1, 2].map((id) => withLength(makeQuery('many.shop.svc', 'A', { id }))))
    for (const byte of [both.subarray(0, 1), both.subarray(1, 40), both.subarray(40)]) socket.write(byte)
    socket.end()
    const reader = new LengthPrefixReader()
    const answers: Buffer[] = []
    for await (const chunk of socket) answers.push(...reader.push(chunk as Buffer))
    assert.deepEqual(
      answers.map((answer) => [read(answer).decoded.id, read(answer).answers.length]),
      [
        [1, 60],
        [2, 60],
      ],
    )
  } finally {
    udp.close()
    socket.destroy()
    server.close()
  }
})

/** The far end of a stream: answers every message with itself, in the order that `order` makes of a batch. */
function echo(stream: Duplex, batch: number): void {
  const reader = new LengthPrefixReader()
  let kept: Buffer[] = []
  stream.on('data', (chunk: Buffer) => {
    kept.push(...reader.push(chunk).map((message) => Buffer.from(message)))
    if (kept.length < batch) return
    for (const message of kept.toReversed()) stream.write(withLength(message))
    kept = []
  })
}

const message = (id: number, body: string): Buffer => Buffer.concat([Buffer.from([id >> 8, id & 255]), Buffer.from(body.padEnd(20))])

test('exchange() brings answers that come in another order back to their askers, also under equal ids', async () => {
  let opened = 0
  const exchange = new StreamExchange({
    open: async () => {
      opened++
      const [near, far] = duplexPair()
      echo(far, 3)
      return near
    },
  })
  const messages = [message(5, 'first'), message(5, 'second'), message(6, 'third')]
  assert.deepEqual(await Promise.all(messages.map((one) => exchange.exchange(one))), messages)
  assert.equal(opened, 1)
  exchange.close()
})

test('exchange() opens a new stream when the old one was lost, also in the middle of a query', async () => {
  const ends: Duplex[] = []
  const exchange = new StreamExchange({
    open: async () => {
      const [near, far] = duplexPair()
      ends.push(far)
      if (ends.length !== 2) echo(far, 1)
      return near
    },
  })
  await exchange.exchange(message(1, 'a'))
  ends[0]!.destroy()
  await new Promise((resolve) => setImmediate(resolve))
  const second = exchange.exchange(message(2, 'b'))
  await new Promise((resolve) => setImmediate(resolve))
  ends[1]!.destroy()
  await assert.rejects(second, /was lost/)
  assert.deepEqual(await exchange.exchange(message(3, 'c')), message(3, 'c'))
  exchange.close()
})

test('exchange() gives up after its limit and says why no stream can be opened', async () => {
  const silent = new StreamExchange({ limitMs: () => 20, open: async () => duplexPair()[0] })
  await assert.rejects(silent.exchange(message(1, 'x')), /did not answer within 0.02 s/)
  silent.close()
  const closed = new StreamExchange({ open: () => Promise.reject(new Error('no link')) })
  await assert.rejects(closed.exchange(message(1, 'x')), /No stream to the resolver of the host: no link/)
})

test('LengthPrefixReader gives back what withLength() framed, however the bytes are cut', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }), fc.array(fc.nat(30)), (messages, cuts) => {
      const stream = Buffer.concat(messages.map((one) => withLength(one)))
      const reader = new LengthPrefixReader()
      const seen: Buffer[] = []
      let at = 0
      for (const cut of [...cuts, stream.length]) {
        seen.push(...reader.push(stream.subarray(at, at + cut)))
        at = Math.min(stream.length, at + cut)
      }
      assert.deepEqual(
        seen.map((one) => [...one]),
        messages.map((one) => [...one]),
      )
    }),
  )
})
