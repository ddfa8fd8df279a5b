import type http2 from 'node:http2'
import * as grpc from '@grpc/grpc-js'
import { CHANNEL_OPTIONS } from '../wire/grpc.ts'

const WINDOW = 4 << 20
const SESSION_WINDOW = 16 << 20

/** The private parts of grpc-js 1.14 that the windows need; a unit test notices when they move. */
type PrivateServer = {
  commonServerOptions: http2.ServerOptions
  http2Servers: Map<http2.Http2Server, unknown>
}

/** A server whose connections are probed, so that one that died silently ends within half a minute; windows are opened by {@link openWindows}. */
export function makeServer(): grpc.Server {
  const server = new grpc.Server({ ...CHANNEL_OPTIONS, 'grpc.keepalive_time_ms': 20_000, 'grpc.keepalive_timeout_ms': 10_000 })
  ;(server as unknown as PrivateServer).commonServerOptions.settings = { initialWindowSize: WINDOW }
  return server
}

/** Opens HTTP/2 windows of 4 MiB a stream on what was bound so far; grpc-js has the option for clients only. */
export function openWindows(server: grpc.Server): void {
  for (const http2Server of (server as unknown as PrivateServer).http2Servers.keys()) {
    http2Server.on('session', (session) => session.setLocalWindowSize(SESSION_WINDOW))
  }
}
