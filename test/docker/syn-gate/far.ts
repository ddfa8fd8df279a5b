// The peer container: services, and the dialing end of the gate's data sessions.
import { createHash } from 'node:crypto'
import dgram from 'node:dgram'
import type http2 from 'node:http2'
import net from 'node:net'
import { dataServer, parseAuthority, refuse } from '../../../src/wire/data-stream.ts'
import { join } from '../../../src/wire/join.ts'
import { FAR_PORT, PORT } from './ports.ts'

/** An address of the container's own network that nobody has. */
const missing = process.env['MISSING'] ?? '192.0.2.1'
const sessions = new Set<net.Socket>()
let heard = ''

function serve(port: number, onConnection: (socket: net.Socket) => void): net.Server {
  return net
    .createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      socket.on('error', () => {})
      onConnection(socket)
    })
    .listen({ backlog: 4096, host: '0.0.0.0', port })
}

function loseSessions(): void {
  for (const session of sessions) session.destroy()
}

function dial(stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders): void {
  const { host, port } = parseAuthority(String(headers[':authority']))
  const way = /^10\.96\.(\d)\./.exec(host)?.[1] ?? '0'
  if (way === '2') return refuse(stream, 'ENETUNREACH')
  if (way === '3') return
  const socket = net.connect({
    allowHalfOpen: true,
    host: way === '1' ? missing : '127.0.0.1',
    noDelay: true,
    port,
  })
  socket.once('error', (error) => refuse(stream, (error as NodeJS.ErrnoException).code ?? 'ECONNRESET'))
  stream.once('close', () => {
    if (socket.connecting) socket.destroy()
  })
  socket.once('connect', () => {
    if (stream.destroyed) return void socket.resetAndDestroy()
    stream.respond({ ':status': 200 })
    join(stream, socket)
  })
}

const sessionServer = serve(FAR_PORT, (socket) => {
  sessions.add(socket)
  socket.once('close', () => sessions.delete(socket))
  dataServer(socket, dial)
})
serve(PORT.echo, (socket) => void socket.pipe(socket))
serve(PORT.reset, (socket) => void socket.resetAndDestroy())
serve(PORT.upload, (socket) => {
  const hash = createHash('sha256')
  let bytes = 0
  socket.on('data', (chunk) => {
    hash.update(chunk)
    bytes += chunk.length
  })
  socket.on('end', () => socket.end(`${bytes} ${hash.digest('hex')}`))
})
serve(PORT.download, (socket) => {
  socket.once('data', (chunk) => {
    let left = Number(chunk.toString())
    const block = Buffer.alloc(256 * 1024, 'tpx')
    const more = (): void => {
      while (left > 0) {
        const part = block.subarray(0, Math.min(left, block.length))
        left -= part.length
        if (!socket.write(part)) return void socket.once('drain', more)
      }
      socket.end()
    }
    more()
  })
})
serve(PORT.byeFirst, (socket) => {
  let text = ''
  socket.end('bye')
  socket.on('data', (chunk) => {
    text += chunk.toString()
  })
  socket.on('end', () => {
    heard = text
  })
})
serve(PORT.heard, (socket) => socket.end(heard))
serve(PORT.resetLater, (socket) => {
  socket.write('begin')
  socket.once('data', () => socket.resetAndDestroy())
})
serve(PORT.endless, (socket) => {
  const block = Buffer.alloc(64 * 1024)
  const more = (): void => {
    while (!socket.destroyed && socket.write(block));
  }
  socket.on('drain', more)
  more()
})
serve(PORT.loseSessions, () => loseSessions())
serve(PORT.awayFor, (socket) => {
  socket.once('data', (chunk) => {
    sessionServer.close()
    loseSessions()
    setTimeout(() => sessionServer.listen({ backlog: 4096, host: '0.0.0.0', port: FAR_PORT }), Number(chunk.toString()))
  })
})
serve(PORT.emptyEnd, (socket) => void socket.resume().end())
serve(PORT.sink, (socket) => socket.resume().on('end', () => socket.end()))
const udp = dgram.createSocket('udp4')
udp.on('message', (data, from) => udp.send(data, from.port, from.address))
udp.bind(PORT.echo, () => console.log('ready'))
