// The peer container: services, and the dialing end of the gate's data sessions.
import { createHash } from 'node:crypto'
import dgram from 'node:dgram'
import net from 'node:net'
import { parseRequest } from '../../../src/wire/data-stream.ts'
import { join } from '../../../src/wire/join.ts'
import { Mux, type Offer } from '../../../src/wire/mux.ts'
import { Pipe } from '../../../src/wire/pipe.ts'
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

/** A pipe of one strand: with it everything is lost. */
function serveSession(socket: net.Socket): void {
  const mux = new Mux(new Pipe({ graceMs: 1, pings: false, silentMs: 60_000 }), 'server')
  mux.onOffer = dial
  mux.pipe.attach(socket, 0)
  socket.once('close', () => mux.destroy())
}

function dial({ accept, gone, refuse, request }: Offer): void {
  const { host, port } = parseRequest(request)!.destination
  const way = /^10\.96\.(\d)\./.exec(host)?.[1] ?? '0'
  if (way === '2') return refuse('ENETUNREACH')
  if (way === '3') return
  const socket = net.connect({
    allowHalfOpen: true,
    host: way === '1' ? missing : '127.0.0.1',
    noDelay: true,
    port,
  })
  socket.once('error', (error) => refuse((error as NodeJS.ErrnoException).code ?? 'ECONNRESET'))
  gone.addEventListener('abort', () => {
    if (socket.connecting) socket.destroy()
  })
  socket.once('connect', () => join(accept(), socket))
}

const sessionServer = serve(FAR_PORT, (socket) => {
  sessions.add(socket)
  socket.once('close', () => sessions.delete(socket))
  serveSession(socket)
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
