import type { Socket } from 'node:net'

/**
 * Joins two connected sockets so that TCP's meaning survives: a FIN stays a FIN in each direction (both must allow half-open),
 * a reset on either side is a reset on the other.
 */
export function joinSockets(one: Socket, other: Socket): void {
  let isDone = false
  const fail = (): void => {
    if (isDone) return
    isDone = true
    one.resetAndDestroy()
    other.resetAndDestroy()
  }
  for (const socket of [one, other])
    socket.on('error', fail).on('close', () => {
      if (!socket.readableEnded || !socket.writableFinished) fail()
    })
  one.pipe(other)
  other.pipe(one)
}
