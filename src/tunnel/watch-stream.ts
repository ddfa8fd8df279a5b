import * as grpc from '@grpc/grpc-js'
import { TpxError } from '../base/error.ts'

/**
 * Hands every message of a server stream to `onMessage`. Ends by throwing: the stream's error, or that it ended; a method that
 * the server does not have never comes to anything, as Telepresence's clients take it. Cancelled by the signal.
 */
export function watchStream<T>(call: grpc.ClientReadableStream<T>, signal: AbortSignal, onMessage: (message: T) => void): Promise<void> {
  return new Promise((_resolve, reject) => {
    const cancel = (): void => call.cancel()
    if (signal.aborted) cancel()
    signal.addEventListener('abort', cancel, { once: true })
    call.on('data', onMessage)
    call.on('error', (error: grpc.ServiceError) => {
      signal.removeEventListener('abort', cancel)
      if (error.code !== grpc.status.UNIMPLEMENTED) reject(error)
    })
    call.on('end', () => reject(new TpxError('MANAGER_UNREACHABLE', 'The traffic-manager ended a stream of events')))
  })
}
