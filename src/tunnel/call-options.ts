import * as grpc from '@grpc/grpc-js'
import { within } from './manager-client.ts'

/**
 * Options of a unary call that can be given up, and that hands out the trailing metadata also when it succeeds.
 * @param options `limitMs` from now; `signal` cancels the call at the server too
 */
export function callOptions(options: {
  limitMs: number
  onTrailer?: (trailer: grpc.Metadata) => void
  signal?: AbortSignal
}): grpc.CallOptions {
  const { limitMs, onTrailer, signal } = options
  const interceptor: grpc.Interceptor = (callerOptions, next) => {
    const inner = next(callerOptions)
    const cancel = (): void => inner.cancelWithStatus(grpc.status.CANCELLED, 'Given up')
    const requester: grpc.Requester = {
      start: (metadata, _listener, start) => {
        start(metadata, {
          onReceiveStatus: (status, pass) => {
            signal?.removeEventListener('abort', cancel)
            onTrailer?.(status.metadata)
            pass(status)
          },
        })
        if (signal?.aborted) cancel()
        signal?.addEventListener('abort', cancel, { once: true })
      },
    }
    return new grpc.InterceptingCall(inner, requester)
  }
  return { ...within(limitMs), interceptors: [interceptor] }
}
