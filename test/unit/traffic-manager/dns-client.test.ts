import assert from 'node:assert/strict'
import dgram from 'node:dgram'
import { once } from 'node:events'
import net from 'node:net'
import { describe, it } from 'node:test'
import dnsPacket from 'dns-packet'
import { dnsClient } from '../../../src/traffic-manager/dns-client.ts'

const plain = (records: dnsPacket.Answer[]) => records.map((record) => [record.name, record.type, (record as { data?: unknown }).data])

const a = (name: string, data: string, ttl = 5): dnsPacket.Answer => ({ class: 'IN', data, name, ttl, type: 'A' })

describe('dnsClient()', () => {
  async function startServer({ silentFirst = false, truncated = false }) {
    const udp = dgram.createSocket('udp4')
    await once(udp.bind(0, '127.0.0.1'), 'listening')
    const { port } = udp.address()
    const answer = (query: Buffer, flags: number, records: dnsPacket.Answer[]) => {
      const { id, questions } = dnsPacket.decode(query)
      return dnsPacket.encode({ answers: records, flags, id: id!, questions: questions!, type: 'response' })
    }
    const asked: dnsPacket.DecodedPacket[] = []
    udp.on('message', (query, from) => {
      asked.push(dnsPacket.decode(query))
      if (silentFirst && asked.length === 1) return
      const wrong = dnsPacket.encode({
        answers: [a('web', '6.6.6.6')],
        id: (dnsPacket.decode(query).id! + 1) % 65_536,
        questions: [{ name: 'web', type: 'A' }],
        type: 'response',
      })
      udp.send(wrong, from.port, from.address)
      udp.send(
        answer(query, truncated ? dnsPacket.TRUNCATED_RESPONSE : 0, truncated ? [] : [a('web', '10.96.0.1')]),
        from.port,
        from.address,
      )
    })
    const tcp = net.createServer((socket) => {
      socket.on('data', (data) => {
        const reply = answer(data.subarray(2), 0, [a('web', '10.96.0.9')])
        const length = Buffer.alloc(2)
        length.writeUInt16BE(reply.length)
        socket.write(length)
        socket.write(reply)
      })
    })
    await once(tcp.listen(port, '127.0.0.1'), 'listening')
    return { asked, port, [Symbol.dispose]: () => void (udp.close(), tcp.close()) }
  }

  it('asks over UDP with EDNS, and ignores answers to another question', async () => {
    using server = await startServer({})
    const found = await dnsClient(['127.0.0.1'], { port: server.port })({ name: 'web', type: 1 })
    assert.deepEqual(plain(found.answers), [['web', 'A', '10.96.0.1']])
    assert.deepEqual([server.asked[0]?.questions?.[0]?.type, server.asked[0]?.additionals?.[0]?.type], ['A', 'OPT'])
  })

  it('asks over TCP when the answer was cut', async () => {
    using server = await startServer({ truncated: true })
    const found = await dnsClient(['127.0.0.1'], { port: server.port })({ name: 'web', type: 1 })
    assert.deepEqual(plain(found.answers), [['web', 'A', '10.96.0.9']])
  })

  it('asks again when a datagram was lost, and gives up after two rounds', async () => {
    using server = await startServer({ silentFirst: true })
    const resolve = dnsClient(['127.0.0.1'], { port: server.port, timeoutMs: 20 })
    assert.equal((await resolve({ name: 'web', type: 1 })).rcode, 0)
    await assert.rejects(dnsClient(['127.0.0.1'], { port: 1, timeoutMs: 20 })({ name: 'web', type: 1 }), { code: 'MANAGER_UNREACHABLE' })
  })
})
