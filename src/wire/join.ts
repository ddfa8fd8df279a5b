import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

/**
 * Joins a stream of a mux and a socket so that TCP's meaning survives: a FIN stays a FIN in each direction (the socket must
 * allow half-open), a reset on either side is a reset on the other.
 */
export function join(stream: Duplex, socket: Socket): void {
  let done = false
  const fail = (): void => {
    if (done) return
    done = true
    stream.destroy(new Error('reset'))
    socket.resetAndDestroy()
  }

  for (const one of [stream, socket]) {
    one.on('error', fail).on('close', () => {
      if (!one.readableEnded || !one.writableFinished) fail()
    })
  }
  // Lost before it came here: its events are over.
  if (stream.destroyed || socket.destroyed) return fail()
  joinWrites(stream, socket)
  stream.pipe(socket)
  socket.pipe(stream)
}

/** A part that fills a read of the strand is followed by more. */
const FULL_PART = 16_000

/**
 * Lets the parts of one turn of the event loop leave in one writev. Small messages are not held back.
 */
function joinWrites(stream: Duplex, socket: Socket): void {
  let isCorked = false
  stream.on('data', (chunk: Buffer) => {
    if (isCorked || chunk.length < FULL_PART) return
    isCorked = true
    socket.cork()
    setImmediate(() => {
      isCorked = false
      socket.uncork()
    })
  })
}
