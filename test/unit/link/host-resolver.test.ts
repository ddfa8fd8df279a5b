import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { duplexPair } from 'node:stream'
import { test } from 'node:test'
import { decode, encode, TRUNCATED_RESPONSE } from 'dns-packet'
import { silentLogger } from '../../../src/base/logger.ts'
import { LengthPrefixReader, withLength } from '../../../src/base/length-prefix.ts'
import { HostResolver, parseNameserver } from '../../../src/link/host-resolver.ts'

type Rcode = { rcode: string }
const query = (id: number, name = 'vpn.example'): Buffer => encode({ id, questions: [{ name, type: 'A' }], type: 'query' })
const respond = (message: Buffer, address: string, flags = 0): Buffer => {
  const { id, questions } = decode(message)
  const answers = [{ data: address, name: questions![0]!.name, ttl: 5, type: 'A' as const }]
  return encode({ answers, flags, id: id!, questions: questions!, type: 'response' })
}

async function nameserver(answer: (message: Buffer) => Buffer | undefined): Promise<{ at: string; port: number } & Disposable> {
  const socket = createSocket('udp4')
  socket.on('message', (message, { address, port }) => {
    const response = answer(message)
    if (response) socket.send(response, port, address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const { port } = socket.address()
  return { at: `127.0.0.1:${port}`, port, [Symbol.dispose]: () => void socket.close() }
}

const firstAddress = (message: Buffer | undefined): unknown => (decode(message!).answers![0] as { data: unknown }).data

test('HostResolver.answer() asks the nameserver', async () => {
  using server = await nameserver((message) => respond(message, '10.9.8.7'))
  assert.equal(firstAddress(await new HostResolver(silentLogger(), server.at).answer(query(7))), '10.9.8.7')
})

test('HostResolver.answer() goes to the next nameserver after a refusal or a closed port', async () => {
  using refusing = await nameserver((message) => {
    const response = respond(message, '0.0.0.0')
    response[3] = (response[3]! & 0xf0) | 5
    return response
  })
  using good = await nameserver((message) => respond(message, '10.0.0.2'))
  const resolver = new HostResolver(silentLogger(), `127.0.0.1:1,${refusing.at},${good.at}`)
  assert.equal(firstAddress(await resolver.answer(query(8))), '10.0.0.2')
})

test('HostResolver.answer() asks again by TCP when the answer was truncated', async () => {
  using server = await nameserver((message) => respond(message, '1.1.1.1', TRUNCATED_RESPONSE))
  const tcp = createServer((socket) => {
    const reader = new LengthPrefixReader()
    socket.on('data', (bytes) => reader.push(bytes).forEach((message) => socket.write(withLength(respond(message, '10.0.0.3')))))
  }).listen(server.port, '127.0.0.1')
  await once(tcp, 'listening')
  assert.equal(firstAddress(await new HostResolver(silentLogger(), server.at).answer(query(9))), '10.0.0.3')
  tcp.close()
})

test('HostResolver.answer() takes no answer with another id, and says SERVFAIL where there is none', async () => {
  using forging = await nameserver((message) => {
    const response = respond(message, '6.6.6.6')
    response.writeUInt16BE(1, 0)
    return response
  })
  using good = await nameserver((message) => respond(message, '10.0.0.4'))
  const began = performance.now()
  assert.equal(firstAddress(await new HostResolver(silentLogger(), `${forging.at},${good.at}`).answer(query(10))), '10.0.0.4')
  assert.ok(performance.now() - began < 2500)
  const answer = await new HostResolver(silentLogger(), '127.0.0.1:1').answer(query(11))
  assert.equal((decode(answer!) as unknown as Rcode).rcode, 'SERVFAIL')
})

test('HostResolver.serve() answers many at once, each with its own id', async () => {
  using server = await nameserver((message) => respond(message, '10.0.0.5'))
  const [near, far] = duplexPair()
  far.pause() // as readLine leaves it
  new HostResolver(silentLogger(), server.at).serve(far)
  const ids = new Set(Array.from({ length: 600 }, (_, i) => i + 1))
  const reader = new LengthPrefixReader()
  const done = new Promise<void>((resolve) => {
    near.on('data', (bytes: Buffer) => {
      for (const message of reader.push(bytes)) ids.delete(decode(message).id!)
      if (!ids.size) resolve()
    })
  })
  for (const id of ids) near.write(withLength(query(id)))
  await done
  near.destroy()
})

test('parseNameserver() knows every form of an address', () => {
  assert.deepEqual(parseNameserver('10.0.0.1'), { address: '10.0.0.1', port: 53 })
  assert.deepEqual(parseNameserver('10.0.0.1:5353'), { address: '10.0.0.1', port: 5353 })
  assert.deepEqual(parseNameserver('fd00::1'), { address: 'fd00::1', port: 53 })
  assert.deepEqual(parseNameserver('[fd00::1]:5353'), { address: 'fd00::1', port: 5353 })
})
