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

/** A part of this size is followed by more: a TLS record carries 16 KiB at most (RFC 8446 §5.1), a read of a socket 64 KiB. */
const FULL_PART = 16_000

/** Lets the parts of one turn of the event loop leave in one writev. Small messages are not held back. */
export function joinWrites(source: Duplex, sink: Duplex): void {
  let isCorked = false
  source.on('data', (chunk: Buffer) => {
    if (isCorked || chunk.length < FULL_PART) return
    isCorked = true
    sink.cork()
    setImmediate(() => {
      isCorked = false
      sink.uncork()
    })
  })
}
