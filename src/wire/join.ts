import type http2 from 'node:http2'
import type { Socket } from 'node:net'

/**
 * Joins an HTTP/2 stream and a socket so that TCP's meaning survives: a FIN stays a FIN in each direction (the socket must
 * allow half-open), a reset on either side is a reset on the other. `destroy(error)` rather than `close(code)` on the
 * stream: `close` sends END_STREAM first, which the far side takes for a clean end.
 */
export function join(stream: http2.Http2Stream, socket: Socket): void {
  let done = false
  const fail = (): void => {
    if (done) return
    done = true
    stream.destroy(new Error('reset'))
    socket.resetAndDestroy()
  }

  // A lost session shows as `aborted` and then a clean `end`: without this the socket would get a false FIN.
  stream
    .on('error', fail)
    .on('aborted', fail)
    .on('close', () => {
      // A session that ends without an error code closes its streams with none, also those that had more to say or to hear.
      if (stream.rstCode || !stream.writableFinished || !stream.readableEnded) fail()
    })
  socket.on('error', fail).on('close', () => {
    if (!socket.readableEnded || !socket.writableFinished) fail()
  })
  joinWrites(stream, socket)
  // After the socket's own FIN a lost session shows no `aborted`, only an `end` of a stream that is destroyed already; after a
  // real END_STREAM Node destroys the stream later than that.
  stream.pipe(socket, { end: false })
  const finish = (): void => void (stream.rstCode || stream.destroyed ? fail() : socket.end())
  // A FIN without data may have come, and been told, before this call.
  if (stream.readableEnded) finish()
  else stream.once('end', finish)
  socket.pipe(stream)
}

/** DATA frames carry 16 KiB at most; a full one is followed by more. */
const FULL_FRAME = 16_000

/**
 * Lets the frames of one turn of the event loop leave in one writev: a write of its own for each was 60 % of a download's
 * cost. Small messages are not held back.
 */
function joinWrites(stream: http2.Http2Stream, socket: Socket): void {
  let isCorked = false
  stream.on('data', (chunk: Buffer) => {
    if (isCorked || chunk.length < FULL_FRAME) return
    isCorked = true
    socket.cork()
    setImmediate(() => {
      isCorked = false
      socket.uncork()
    })
  })
}
