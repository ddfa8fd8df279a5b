// What the connection has of the host: its resolver for public names, and a link that may be killed.
import assert from 'node:assert/strict'
import dgram from 'node:dgram'
import { once } from 'node:events'
import { after, before, describe, test } from 'node:test'
import packet from 'dns-packet'
import { ensureManager, probe, quitAll } from '../helpers/cluster.ts'
import { eventually, tpxOk } from '../helpers/tpx.ts'

const name = 'host'

/** A resolver of the host that knows one public name. */
async function resolver(): Promise<Disposable & { address: string; asked: string[] }> {
  const asked: string[] = []
  const socket = dgram.createSocket('udp4')
  socket.on('message', (bytes, peer) => {
    const { id, questions = [] } = packet.decode(bytes)
    const [question] = questions
    asked.push(`${question?.type} ${question?.name}`)
    const isKnown = question?.name === 'public.example.com'
    const answers = isKnown && question.type === 'A' ? [{ type: 'A' as const, name: question.name, ttl: 30, data: '203.0.113.7' }] : []
    socket.send(
      packet.encode({ answers, flags: isKnown ? 0x180 : 0x183, id: id ?? 0, questions, type: 'response' }),
      peer.port,
      peer.address,
    )
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return { address: `127.0.0.1:${socket.address().port}`, asked, [Symbol.dispose]: () => void socket.close() }
}

describe('the host', () => {
  before(async () => {
    await quitAll()
    await ensureManager()
  })
  after(quitAll)

  test('public names are resolved by the resolver of the host, cluster names never', async () => {
    using host = await resolver()
    await tpxOk(['connect', '--name', name], { env: { TPX_HOST_NAMESERVERS: host.address } })
    assert.match(await probe(name, 'lookup', 'public.example.com'), /203\.0\.113\.7/)
    assert.match(await probe(name, 'lookup', 'unknown.example.com'), /no such host/i)
    assert.match(await probe(name, 'lookup', 'web-app'), /10\.96\./)
    assert.ok(host.asked.some((question) => question.endsWith('public.example.com')))
    assert.ok(!host.asked.some((question) => /web-app|cluster\.local/.test(question)), host.asked.join())
  })

  test('after kill -9 of the link any command starts it again, and the tunnel goes on', async () => {
    type Status = { connections: { link?: { pid: number }; state: string }[] }
    const status = async () => ((await tpxOk(['status', '--output', 'json'])).json as Status).connections[0]
    const pid = (await status())?.link?.pid
    assert.ok(pid)
    process.kill(pid, 'SIGKILL')
    const found = await eventually(
      'the connection to be up again',
      async () => {
        const one = await status()
        return one?.state === 'connected' ? one : undefined
      },
      10_000,
    )
    assert.notEqual(found.link?.pid, pid)
    assert.match(await probe(name, 'get', 'http://web-app/'), /web-app-in-cluster/)
  })
})
