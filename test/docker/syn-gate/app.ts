// The app container: does what the test asks for on stdin, one JSON request a line, and answers one JSON line each.
import { createHash } from 'node:crypto'
import dgram from 'node:dgram'
import net from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseAddress } from '../../../src/netstack/ip-address.ts'
import { openPingSocket } from '../../../src/outbound/ping-socket.ts'
import { PORT } from './ports.ts'

/** How a connection went: `code` is "ok" or a system error code; `ended` tells whether a FIN came. */
export type Outcome = { bytes: number; code: string; ended: boolean; hash: string; ms: number; text: string }

type Options = {
  address: string
  checksum?: boolean
  halfClose?: boolean
  localPort?: number
  port: number
  send?: string
  sendBytes?: number
  timeoutMs?: number
}

const held = new Map<number, Promise<Outcome>>()

/** Connects, sends, closes its half where asked to, and reads until the far side ends. */
function exchange({
  address,
  checksum = true,
  halfClose = true,
  localPort,
  port,
  send = '',
  sendBytes = 0,
  timeoutMs = 15_000,
}: Options): Promise<Outcome> {
  return new Promise((resolve) => {
    const began = performance.now()
    const hash = createHash('sha256')
    const outcome: Outcome = { bytes: 0, code: 'ok', ended: false, hash: '', ms: 0, text: '' }
    const socket = net.connect({ allowHalfOpen: true, host: address, noDelay: true, port, ...(localPort ? { localPort } : {}) })
    const timer = setTimeout(() => {
      outcome.code = 'still waiting'
      socket.destroy()
    }, timeoutMs)
    socket.once('connect', () => {
      outcome.ms = performance.now() - began
      if (send) socket.write(send)
      const block = Buffer.alloc(256 * 1024, 'tpx')
      let left = sendBytes
      const more = (): void => {
        while (left > 0) {
          const part = block.subarray(0, Math.min(left, block.length))
          left -= part.length
          if (checksum) hash.update(part)
          if (!socket.write(part)) return void socket.once('drain', more)
        }
        if (halfClose) socket.end()
      }
      more()
    })
    socket.on('data', (chunk) => {
      if (!sendBytes && checksum) hash.update(chunk)
      outcome.bytes += chunk.length
      if (outcome.text.length < 200) outcome.text += chunk.toString('latin1').slice(0, 200)
    })
    socket.on('end', () => {
      outcome.ended = true
      socket.end()
    })
    socket.on('error', (error) => {
      outcome.code = (error as NodeJS.ErrnoException).code ?? error.message
    })
    socket.on('close', () => {
      clearTimeout(timer)
      outcome.hash = hash.digest('hex')
      outcome.ms ||= performance.now() - began
      resolve(outcome)
    })
  })
}

const percentile = (values: number[], share: number): number => values.sort((a, b) => a - b)[Math.floor((values.length - 1) * share)] ?? 0

async function many({ address, count, port }: { address: string; count: number; port: number }): Promise<unknown> {
  const began = performance.now()
  const outcomes = await Promise.all(Array.from({ length: count }, (_, n) => exchange({ address, port, send: `number ${n}` })))
  const good = outcomes.filter(({ code, ended, text }, n) => code === 'ok' && ended && text === `number ${n}`).length
  const ms = outcomes.map((outcome) => outcome.ms)
  const codes = [...new Set(outcomes.map(({ code }) => code))]
  return { codes, good, ms: performance.now() - began, p50: percentile(ms, 0.5), p99: percentile(ms, 0.99) }
}

/** Connects again and again from one port; `order` says who closes first. */
async function reuse(params: { address: string; localPort: number; order: 'app' | 'far' | 'reset'; times: number }): Promise<unknown> {
  const outcomes: Outcome[] = []
  const { address, localPort, order, times } = params
  for (let n = 0; n < times; n++) {
    if (order === 'app') outcomes.push(await exchange({ address, localPort, port: PORT.echo, send: 'x' }))
    else if (order === 'far') outcomes.push(await exchange({ address, halfClose: false, localPort, port: PORT.byeFirst }))
    else outcomes.push(await resetByApp(address, localPort))
  }
  return { codes: [...new Set(outcomes.map(({ code }) => code))], good: outcomes.filter(({ code }) => code === 'ok').length }
}

function resetByApp(address: string, localPort: number): Promise<Outcome> {
  return new Promise((resolve) => {
    const outcome: Outcome = { bytes: 0, code: 'ok', ended: false, hash: '', ms: 0, text: '' }
    const socket = net.connect({ host: address, localPort, port: PORT.echo })
    socket.once('connect', () => socket.write('x'))
    socket.once('data', () => socket.resetAndDestroy())
    socket.on('error', (error) => {
      outcome.code = (error as NodeJS.ErrnoException).code ?? ''
    })
    socket.on('close', () => resolve(outcome))
  })
}

async function latency({ address, count, port }: { address: string; count: number; port: number }): Promise<unknown> {
  const connects: number[] = []
  for (let n = 0; n < count; n++) connects.push((await exchange({ address, port, send: 'x' })).ms)
  return { p50: percentile(connects, 0.5), p99: percentile(connects, 0.99) }
}

/** Requests and answers of 100 bytes on `connections` connections for `ms`. */
async function requests({
  address,
  connections,
  ms,
  port,
}: {
  address: string
  connections: number
  ms: number
  port: number
}): Promise<unknown> {
  const end = performance.now() + ms
  const times: number[] = []
  const one = (): Promise<void> =>
    new Promise((resolve) => {
      const socket = net.connect({ host: address, noDelay: true, port })
      let sent = 0
      const next = (): void => {
        if (performance.now() > end) return void socket.end()
        sent = performance.now()
        socket.write(Buffer.alloc(100, 'q'))
      }
      socket.once('connect', next)
      socket.on('data', () => {
        times.push(performance.now() - sent)
        next()
      })
      socket.on('close', () => resolve()).on('error', () => {})
    })
  await Promise.all(Array.from({ length: connections }, one))
  return { p50: percentile(times, 0.5), p99: percentile(times, 0.99), perSecond: (times.length / ms) * 1000 }
}

function datagram({
  address,
  bytes,
  port,
  timeoutMs = 3000,
}: {
  address: string
  bytes: number
  port: number
  timeoutMs?: number
}): Promise<unknown> {
  return new Promise((resolve) => {
    const began = performance.now()
    const data = Buffer.alloc(bytes, 'udp')
    const socket = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4')
    const finish = (code: string, same = false): void => {
      clearTimeout(timer)
      socket.close()
      resolve({ code, ms: performance.now() - began, same })
    }
    const timer = setTimeout(() => finish('still waiting'), timeoutMs)
    socket.on('message', (answer) => finish('ok', answer.equals(data)))
    socket.on('error', (error) => finish((error as NodeJS.ErrnoException).code ?? ''))
    socket.connect(port, address)
    socket.once('connect', () => socket.send(data))
  })
}

/** One ping; `code` is "ok", a system error code or "still waiting". */
async function ping({ address, bytes, timeoutMs = 3000 }: { address: string; bytes: number; timeoutMs?: number }): Promise<unknown> {
  const began = performance.now()
  const data = Buffer.alloc(bytes, 'ping')
  const { promise, resolve } = Promise.withResolvers<{ code: string; same: boolean }>()
  const socket = await openPingSocket(parseAddress(address) ?? new Uint8Array(4), {
    onError: (_, code) => resolve({ code, same: false }),
    onReply: (_, answer) => resolve({ code: 'ok', same: data.equals(answer) }),
  })
  const timer = setTimeout(() => resolve({ code: 'still waiting', same: false }), timeoutMs)
  socket.send(1, data)
  const outcome = await promise
  clearTimeout(timer)
  socket.close()
  return { ...outcome, ms: performance.now() - began }
}

let server: net.Server | undefined
async function listen({ port }: { port: number }): Promise<unknown> {
  server?.close()
  server = net.createServer((socket) => socket.end('app')).listen(port, '0.0.0.0')
  const code = await new Promise((resolve) => {
    server?.once('listening', () => resolve('ok')).once('error', (error) => resolve((error as NodeJS.ErrnoException).code))
  })
  return { code }
}

const ops: Record<string, (params: never) => Promise<unknown>> = {
  datagram,
  exchange,
  hold: async (params: Options & { id: number }) => {
    held.set(params.id, exchange(params))
    await sleep(params.timeoutMs ? 100 : 300)
    return {}
  },
  readLate,
  held: async ({ id }: { id: number }) => held.get(id),
  latency,
  listen,
  many,
  ping,
  requests,
  reuse,
  speakAfterFin: async ({ address }: { address: string }) => speakAfterFin(address),
}

/** Asks for bytes and does not read them for a while. */
function readLate(params: { address: string; afterMs: number; bytes: number; endFirst?: boolean }): Promise<unknown> {
  const { address, afterMs, bytes, endFirst = false } = params
  return new Promise((resolve) => {
    const outcome = { bytes: 0, code: 'ok', ended: false }
    const socket = net.connect({ allowHalfOpen: true, host: address, port: PORT.download })
    socket.once('connect', () => (endFirst ? socket.end(String(bytes)) : socket.write(String(bytes))))
    setTimeout(() => {
      socket.on('data', (chunk) => {
        outcome.bytes += chunk.length
      })
    }, afterMs)
    socket.on('end', () => {
      outcome.ended = true
      socket.end()
    })
    socket.on('error', (error) => {
      outcome.code = (error as NodeJS.ErrnoException).code ?? ''
    })
    socket.on('close', () => resolve(outcome))
  })
}

/** The far side ends first; the app says something 300 ms later. */
function speakAfterFin(address: string): Promise<unknown> {
  return new Promise((resolve) => {
    let code = 'ok'
    const socket = net.connect({ allowHalfOpen: true, host: address, port: PORT.byeFirst })
    socket.resume().on('end', () => setTimeout(() => socket.end(`still here ${address}`), 300))
    socket.on('error', (error) => {
      code = (error as NodeJS.ErrnoException).code ?? ''
    })
    socket.on('close', () => resolve({ code }))
  })
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, op, params } = JSON.parse(line) as { id: number; op: string; params: never }
  const run = ops[op]
  void run?.(params).then(
    (result) => console.log(JSON.stringify({ id, result })),
    (error: unknown) => console.log(JSON.stringify({ error: String(error), id })),
  )
})
console.log(JSON.stringify({ id: 0, result: 'ready' }))
