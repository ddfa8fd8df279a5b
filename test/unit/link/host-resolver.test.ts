import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { duplexPair } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { decode, encode, TRUNCATED_RESPONSE } from 'dns-packet'
import { silentLogger } from '../../../src/base/logger.ts'
import { LengthPrefixReader, withLength } from '../../../src/base/length-prefix.ts'
import { parseNameserver } from '../../../src/dns/nameserver.ts'
import { HostResolver } from '../../../src/link/host-resolver.ts'

type Rcode = { rcode: string }
const query = (id: number, name = 'vpn.example'): Buffer => encode({ id, questions: [{ name, type: 'A' }], type: 'query' })
const respond = (message: Buffer, address: string, flags = 0): Buffer => {
  const { id, questions } = decode(message)
  const answers = [{ data: address, name: questions![0]!.name, ttl: 5, type: 'A' as const }]
  return encode({ answers, flags, id: id!, questions: questions!, type: 'response' })
}

/** A resolver of a host with these nameservers and nothing in its files, unless named. */
const make = (nameservers: string, files: { hostsFile?: string; resolvConf?: string } = {}): HostResolver =>
  new HostResolver({ hostsFile: '/dev/null', logger: silentLogger(), nameservers, resolvConf: '/dev/null', ...files })

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
  assert.equal(firstAddress(await make(server.at).answer(query(7))), '10.9.8.7')
})

test('HostResolver.answer() goes to the next nameserver after a refusal or a closed port', async () => {
  using refusing = await nameserver((message) => {
    const response = respond(message, '0.0.0.0')
    response[3] = (response[3]! & 0xf0) | 5
    return response
  })
  using good = await nameserver((message) => respond(message, '10.0.0.2'))
  const resolver = make(`127.0.0.1:1,${refusing.at},${good.at}`)
  assert.equal(firstAddress(await resolver.answer(query(8))), '10.0.0.2')
})

test('HostResolver.answer() asks again by TCP when the answer was truncated', async () => {
  using server = await nameserver((message) => respond(message, '1.1.1.1', TRUNCATED_RESPONSE))
  const tcp = createServer((socket) => {
    const reader = new LengthPrefixReader()
    socket.on('data', (bytes) => reader.push(bytes).forEach((message) => socket.write(withLength(respond(message, '10.0.0.3')))))
  }).listen(server.port, '127.0.0.1')
  await once(tcp, 'listening')
  assert.equal(firstAddress(await make(server.at).answer(query(9))), '10.0.0.3')
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
  assert.equal(firstAddress(await make(`${forging.at},${good.at}`).answer(query(10))), '10.0.0.4')
  assert.ok(performance.now() - began < 2500)
  const answer = await make('127.0.0.1:1').answer(query(11))
  assert.equal((decode(answer!) as unknown as Rcode).rcode, 'SERVFAIL')
})

test('HostResolver.serve() answers many at once, each with its own id', async () => {
  using server = await nameserver((message) => respond(message, '10.0.0.5'))
  const [near, far] = duplexPair()
  far.pause() // as readLine leaves it
  make(server.at).serve(far)
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

function write(t: TestContext, text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'tpx-test-'))
  t.after(() => rmSync(directory, { recursive: true }))
  writeFileSync(join(directory, 'file'), text)
  return join(directory, 'file')
}

const shown = (message: Buffer | undefined): unknown => {
  const { answers, rcode } = decode(message!) as ReturnType<typeof decode> & Rcode
  return [rcode, ...answers!.map((record) => `${record.type} ${String((record as { data: unknown }).data)}`)]
}

test("HostResolver.answer() knows the names of the host's hosts file, both ways, but none of its loopback", async (t) => {
  using server = await nameserver((message) => respond(message, '10.0.0.6'))
  const hostsFile = write(t, '127.0.0.1 localhost only-here\n10.1.2.3 Intranet.corp intranet # VPN\nfd00::7 intranet\n')
  const resolver = make(server.at, { hostsFile })
  assert.deepEqual(shown(await resolver.answer(query(1, 'intranet'))), ['NOERROR', 'A 10.1.2.3'])
  const aaaa = encode({ id: 2, questions: [{ name: 'INTRANET', type: 'AAAA' }], type: 'query' })
  assert.deepEqual(shown(await resolver.answer(aaaa)), ['NOERROR', 'AAAA fd00::7'])
  const corp = encode({ id: 2, questions: [{ name: 'intranet.corp', type: 'AAAA' }], type: 'query' })
  assert.deepEqual(shown(await resolver.answer(corp)), ['NOERROR'])
  const ptr = encode({ id: 3, questions: [{ name: '3.2.1.10.in-addr.arpa', type: 'PTR' }], type: 'query' })
  assert.deepEqual(shown(await resolver.answer(ptr)), ['NOERROR', 'PTR intranet.corp'])
  assert.deepEqual(shown(await resolver.answer(query(4, 'only-here'))), ['NOERROR', 'A 10.0.0.6'])
})

test("HostResolver.answer() looks for a name of one label below the host's search list, with a CNAME to what it found", async (t) => {
  const asked: string[] = []
  using server = await nameserver((message) => {
    const { name } = decode(message).questions![0]!
    asked.push(name)
    const response = respond(message, '10.0.0.7')
    if (name !== 'wiki.b.corp') response.writeUInt16BE(0x8183, 2)
    if (name !== 'wiki.b.corp') response.writeUInt16BE(0, 6)
    return name === 'wiki.b.corp' ? response : response.subarray(0, 12 + name.length + 6)
  })
  const resolver = make(server.at, { resolvConf: write(t, 'search a.corp b.corp\n') })
  assert.deepEqual(shown(await resolver.answer(query(1, 'wiki'))), ['NOERROR', 'CNAME wiki.b.corp', 'A 10.0.0.7'])
  assert.deepEqual(shown(await resolver.answer(query(1, 'other'))), ['NXDOMAIN'])
  assert.deepEqual(asked, ['wiki.a.corp', 'wiki.b.corp', 'other.a.corp', 'other.b.corp', 'other'])
})

test("HostResolver.answer() never asks the tunnel's own server: that would ask it again", async () => {
  const answer = await make('198.18.0.1').answer(query(5))
  assert.equal((decode(answer!) as unknown as Rcode).rcode, 'SERVFAIL')
})

test('HostResolver.answer() never rejects, and answers nothing but queries', async () => {
  const resolver = make('127.0.0.1:1')
  assert.equal(await resolver.answer(Buffer.alloc(5)), undefined)
  assert.equal(await resolver.answer(respond(query(1), '1.1.1.1')), undefined)
  assert.equal(((await resolver.answer(Buffer.alloc(12)))?.readUInt16BE(2) ?? 0) & 15, 1)
})

test('parseNameserver() knows every form of an address', () => {
  assert.deepEqual(parseNameserver('10.0.0.1'), { address: '10.0.0.1', port: 53 })
  assert.deepEqual(parseNameserver('10.0.0.1:5353'), { address: '10.0.0.1', port: 5353 })
  assert.deepEqual(parseNameserver('fd00::1'), { address: 'fd00::1', port: 53 })
  assert.deepEqual(parseNameserver('[fd00::1]:5353'), { address: 'fd00::1', port: 5353 })
})
