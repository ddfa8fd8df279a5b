import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import net, { type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { ContainerEngine } from '../../../src/container/container-engine.ts'
import { ClusterDialer } from '../../../src/session/cluster-dialer.ts'
import { formatAnswer } from '../../../src/wire/carrier.ts'
import { DialError, OUTSIDE, serveDialSession } from '../../../src/wire/dial-session.ts'

const signal = new AbortController().signal

async function listen(t: TestContext, server: net.Server, where: string | number): Promise<net.Server> {
  server.listen(typeof where === 'number' ? { host: '127.0.0.1', port: where } : { path: where })
  await once(server, 'listening')
  t.after(() => void server.close())
  return server
}

/** A link whose tunnel finds `web` on a port of this machine, and nothing else; no engine knows the connection. */
async function start(t: TestContext): Promise<{ dialer: ClusterDialer; links: Socket[]; port: number; stop: () => void }> {
  const directory = mkdtempSync(join(tmpdir(), 'tpx-dial-'))
  const before = process.env['XDG_RUNTIME_DIR']
  process.env['XDG_RUNTIME_DIR'] = directory
  mkdirSync(join(directory, 'tpx', 'one'), { recursive: true })
  const echo = await listen(
    t,
    net.createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => {}).pipe(socket)),
    0,
  )
  const { port } = echo.address() as AddressInfo
  const links: Socket[] = []
  const link = net.createServer({ allowHalfOpen: true }, (socket) => {
    links.push(socket.on('error', () => {}))
    socket.write(formatAnswer({ ok: true }))
    serveDialSession(socket, async ({ host }) => {
      if (host !== 'web') throw new DialError(host === 'closed' ? 'ECONNREFUSED' : OUTSIDE)
      const ahead = net.connect({ allowHalfOpen: true, host: '127.0.0.1', port })
      await once(ahead, 'connect')
      return ahead
    })
  })
  await listen(t, link, join(directory, 'tpx', 'one', 'dial.sock'))
  const engine = { listContainers: async () => [] } as Partial<ContainerEngine> as ContainerEngine
  const dialer = new ClusterDialer({ connection: 'one', engine: async () => engine, root: directory })
  const stop = (): void => {
    link.close()
    for (const socket of links) socket.destroy()
  }
  t.after(() => {
    dialer.close()
    stop()
    rmSync(directory, { recursive: true })
    if (before === undefined) delete process.env['XDG_RUNTIME_DIR']
    else process.env['XDG_RUNTIME_DIR'] = before
  })
  return { dialer, links, port, stop }
}

async function echoed(dialer: ClusterDialer, host: string, port: number): Promise<string> {
  const { stream } = await dialer.dial({ host, port }, signal)
  stream.end('hello')
  let heard = ''
  for await (const chunk of stream as AsyncIterable<Buffer>) heard += chunk.toString()
  return heard
}

test('ClusterDialer dials many over one stream to the link, and tells what the far side said', async (t) => {
  const { dialer, links } = await start(t)
  const all = await Promise.all(Array.from({ length: 20 }, () => echoed(dialer, 'web', 80)))
  assert.deepEqual(new Set(all), new Set(['hello']))
  await assert.rejects(dialer.dial({ host: 'closed', port: 80 }, signal), { code: 'ECONNREFUSED' })
  assert.equal(links.length, 1)
})

test('ClusterDialer dials by itself what is not in the cluster', async (t) => {
  const { dialer, port } = await start(t)
  assert.equal(await echoed(dialer, '127.0.0.1', port), 'hello')
  await assert.rejects(dialer.dial({ host: '127.0.0.1', port: 1 }, signal), { code: 'ECONNREFUSED' })
})

test('ClusterDialer opens a new stream when the one before is lost', async (t) => {
  const { dialer, links } = await start(t)
  assert.equal(await echoed(dialer, 'web', 80), 'hello')
  links[0]?.destroy()
  assert.equal(await echoed(dialer, 'web', 80), 'hello')
  assert.equal(links.length, 2)
})

test('ClusterDialer gives up at once when the connection is gone', async (t) => {
  const { dialer, stop } = await start(t)
  const session = await dialer.open()
  stop()
  await session.closed
  const began = performance.now()
  await assert.rejects(dialer.dial({ host: 'web', port: 80 }, signal), { code: 'ENETUNREACH' })
  assert.ok(performance.now() - began < 1000)
  await assert.rejects(dialer.open(), { code: 'CONNECTION_NOT_FOUND' })
})
