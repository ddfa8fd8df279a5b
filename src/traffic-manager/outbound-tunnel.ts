// Manager.Tunnel of a Telepresence client: the manager dials. tpx's own clients use data-session.ts.
import type { Socket } from 'node:net'
import type { StreamInfo } from '../wire/tunnel-message.ts'
import { DIAL_TIMEOUT_MS, type Dialer, UDP_IDLE_MS } from '../outbound/dialer.ts'
import type { TunnelEnd } from './tunnel-end.ts'
import { UdpFlow } from '../outbound/udp-flow.ts'

/** Dials what the client asked for and copies until both directions ended. Answers dialReject when it cannot. */
export async function serveOutbound(end: TunnelEnd, info: StreamInfo, dialer: Dialer): Promise<void> {
  try {
    if (info.connectionId.protocol === 'udp') await serveUdp(end, info, dialer)
    else await serveTcp(end, info, dialer)
  } finally {
    end.end()
  }
}

async function serveTcp(end: TunnelEnd, info: StreamInfo, dialer: Dialer): Promise<void> {
  const timeoutMs = Number(info.dialTimeoutNs / 1_000_000n) || DIAL_TIMEOUT_MS
  const socket = await dialer.tcp(info.connectionId.destination, end.lost, timeoutMs).catch(() => undefined)
  if (!socket) return end.send({ kind: 'dialReject' })
  let failed = false
  socket.on('error', () => (failed = true))
  const abort = (): void => void socket.resetAndDestroy()
  end.lost.addEventListener('abort', abort, { once: true })
  await end.send({ kind: 'dialOk' })
  await Promise.all([fromCluster(end, socket), toCluster(end, socket)])
  end.lost.removeEventListener('abort', abort)
  if (failed) await end.send({ kind: 'disconnect' })
  socket.destroy()
}

async function fromCluster(end: TunnelEnd, socket: Socket): Promise<void> {
  try {
    for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) await end.sendData(chunk)
    await end.send({ kind: 'closeSend' })
  } catch {
    // A reset: the caller is told so, and its side of the loop ends with the call.
    await end.send({ kind: 'disconnect' })
    end.end()
  }
}

async function toCluster(end: TunnelEnd, socket: Socket): Promise<void> {
  socket.once('close', () => end.stop())
  for (;;) {
    const payload = await end.receive()
    if (socket.destroyed) return
    if (payload?.kind === 'disconnect' || end.lost.aborted) return void socket.resetAndDestroy()
    if (payload === undefined || payload.kind === 'closeSend') return void socket.end()
    if (payload.kind === 'normal' && payload.data.length > 0 && !socket.write(payload.data)) await writable(socket)
  }
}

/** Waits until the socket takes data again, or is closed. */
async function writable(socket: Socket): Promise<void> {
  if (socket.destroyed || !socket.writableNeedDrain) return
  await new Promise<void>((resolve) => {
    const settle = (): void => {
      socket.off('drain', settle).off('close', settle)
      resolve()
    }
    socket.on('drain', settle).on('close', settle)
  })
}

async function serveUdp(end: TunnelEnd, info: StreamInfo, dialer: Dialer): Promise<void> {
  const socket = await dialer.udp(info.connectionId.destination, end.lost).catch(() => undefined)
  if (!socket) return end.send({ kind: 'dialReject' })
  const sink = { ended: () => end.stop(), received: (datagram: Buffer) => void end.sendData(datagram) }
  const flow = new UdpFlow(socket, sink, UDP_IDLE_MS)
  await end.send({ kind: 'dialOk' })
  for (;;) {
    const payload = await end.receive()
    if (payload === undefined || payload.kind === 'closeSend' || payload.kind === 'disconnect') return flow.close()
    if (payload.kind === 'normal') flow.send(payload.data)
  }
}
