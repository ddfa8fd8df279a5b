import net from 'node:net'
import * as grpc from '@grpc/grpc-js'
import { asTpxError, messageOf } from '../base/error.ts'
import { serviceDefinition } from '../wire/grpc.ts'
import { Manager } from '../wire/generated/manager_pb.ts'
import type { Mux } from '../wire/mux.ts'
import { PipeHost, readStrandWords } from '../wire/pipe-host.ts'
import { formatRefusal, readPreface } from '../wire/preface.ts'
import { clientService } from './client-service.ts'
import { serveData } from './data-session.ts'
import { HandlerFactory } from './grpc-handlers.ts'
import { makeServer, openWindows } from './grpc-server.ts'
import type { ManagerPorts } from './manager-ports.ts'
import { requireClient } from './require-session.ts'
import type { ClientSession } from './sessions.ts'

/** A connection that says nothing for this long is closed. */
const PREFACE_TIMEOUT_MS = 30_000

/** A listening server. `port` is the real one where 0 was asked for. */
export type Listener = { close(): Promise<void>; port: number }

/**
 * The clients' API: gRPC and `TPX/1 data` on one port, told apart by the first bytes.
 * @param address in a Pod 127.0.0.1: only Kubernetes port-forward reaches it, which has checked the client's permissions
 */
export async function listenForClients(ports: ManagerPorts, { address, port }: { address: string; port: number }): Promise<Listener> {
  const grpcServer = makeServer()
  grpcServer.addService(serviceDefinition(Manager), clientService(ports, new HandlerFactory(ports.logger)))
  const injector = grpcServer.createConnectionInjector(grpc.ServerCredentials.createInsecure())
  openWindows(grpcServer)
  const newest = new WeakMap<ClientSession, Mux>()
  const pipes = new PipeHost()
  const sockets = new Set<net.Socket>()
  const server = net.createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).once('close', () => sockets.delete(socket))
    void dispatch(socket, { newest, pipes, ports }, (stream) => injector.injectConnection(stream))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, address, () => resolve(void server.off('error', reject)))
  })
  return {
    async close() {
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()))
      grpcServer.forceShutdown()
      pipes.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
    port: (server.address() as net.AddressInfo).port,
  }
}

type Parts = { newest: WeakMap<ClientSession, Mux>; pipes: PipeHost; ports: ManagerPorts }

async function dispatch(socket: net.Socket, { newest, pipes, ports }: Parts, injectGrpc: (socket: net.Socket) => void): Promise<void> {
  const timer = setTimeout(() => socket.destroy(), PREFACE_TIMEOUT_MS)
  try {
    const preface = await readPreface(socket).finally(() => clearTimeout(timer))
    if (preface.kind === 'http2') return injectGrpc(socket)
    if (preface.verb !== 'data') return void socket.end(formatRefusal('USAGE', `Unknown verb "${preface.verb}"`))
    const [sessionId = '', ...words] = preface.args
    const strand = readStrandWords(words)
    pipes.accept(socket, strand, (mux) => {
      const client = requireClient(ports.state, { sessionId })
      client.graceMs = strand.graceMs
      // A tunnel that begins another pipe crashed before: what hung on the one before will not come back.
      newest.get(client)?.destroy()
      newest.set(client, mux)
      serveData(mux, ports.dialer, client.ended)
    })
  } catch (error) {
    ports.logger.debug({ error: messageOf(error) }, 'Connection refused')
    const { code, message } = asTpxError(error)
    if (!socket.destroyed) socket.end(formatRefusal(code, message))
  }
}
