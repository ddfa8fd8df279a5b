// Typed handlers for grpc-js: errors become statuses, watches send snapshots.
import {
  type DescMessage,
  type DescMethodBiDiStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import { TpxError } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import { toStatus } from '../wire/grpc.ts'

/** A failure that is only a gRPC status, for what has no meaning to a user. */
export class StatusError extends Error {
  readonly code: grpc.status
  constructor(code: grpc.status, details: string) {
    super(details)
    this.name = 'StatusError'
    this.code = code
  }
}

/** What a handler sees of the call besides the request. `signal` aborts when the caller gave up. */
export type CallContext = { metadata: grpc.Metadata; signal: AbortSignal; trailer: grpc.Metadata }

/** Several handlers, by localName of the method. */
export type Handlers = grpc.UntypedServiceImplementation

/** The status that an error travels as. */
export function statusOf(error: unknown): Partial<grpc.StatusObject> {
  return error instanceof StatusError ? { code: error.code, details: error.message } : toStatus(error)
}

/** Makes handlers; what is neither TpxError nor StatusError is logged as a bug, under the method's name. */
export class HandlerFactory {
  readonly #logger: Logger

  constructor(logger: Logger) {
    this.#logger = logger
  }

  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    answer: (request: MessageShape<I>, context: CallContext) => MessageShape<O> | Promise<MessageShape<O>>,
  ): grpc.handleUnaryCall<MessageShape<I>, MessageShape<O>> {
    return (call, callback) => {
      const controller = new AbortController()
      call.once('cancelled', () => controller.abort())
      const context = { metadata: call.metadata, signal: controller.signal, trailer: new grpc.Metadata() }
      const respond = async (): Promise<void> => {
        try {
          callback(null, await answer(call.request, context), context.trailer)
        } catch (error) {
          callback(this.fail(method.name, error))
        }
      }

      void respond()
    }
  }

  /**
   * A stream of snapshots: the first at once, then one whenever `subscribe` tells of a change and the snapshot differs.
   * Ends without error when `ended` aborts. A caller that reads slowly skips what is out of date.
   */
  watch<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    open: (request: MessageShape<I>, context: CallContext) => Promise<Watch<MessageShape<O>>> | Watch<MessageShape<O>>,
  ): grpc.handleServerStreamingCall<MessageShape<I>, MessageShape<O>> {
    return (call) => {
      const controller = new AbortController()
      call.once('cancelled', () => controller.abort()).on('error', () => controller.abort())
      const context = { metadata: call.metadata, signal: controller.signal, trailer: new grpc.Metadata() }
      Promise.resolve()
        .then(() => open(call.request, context))
        .then((watch) => follow(call, watch, { gone: controller.signal, output: method.output }))
        .catch((error: unknown) => call.emit('error', this.fail(method.name, error)))
    }
  }

  bidi<I extends DescMessage, O extends DescMessage>(
    method: DescMethodBiDiStreaming<I, O>,
    serve: (call: grpc.ServerDuplexStream<MessageShape<I>, MessageShape<O>>) => Promise<void>,
  ): grpc.handleBidiStreamingCall<MessageShape<I>, MessageShape<O>> {
    return (call) => {
      call.on('error', () => {})
      serve(call).catch((error: unknown) => call.emit('error', this.fail(method.name, error)))
    }
  }

  fail(method: string, error: unknown): Partial<grpc.StatusObject> {
    if (!(error instanceof TpxError) && !(error instanceof StatusError)) this.#logger.error({ err: error, method }, 'Request failed')
    return statusOf(error)
  }
}

/** A source of snapshots; or of messages that must all be sent, where `isQueue`. `ended` aborts when the session is over. */
export type Watch<T> = {
  ended: AbortSignal
  isQueue?: boolean
  snapshot: () => T | undefined
  subscribe: (listener: () => void) => () => void
}

function follow<O extends DescMessage>(
  call: grpc.ServerWritableStream<unknown, MessageShape<O>>,
  watch: Watch<MessageShape<O>>,
  { gone, output }: { gone: AbortSignal; output: O },
): void {
  let last: Uint8Array | undefined
  let blocked = false
  const send = (): void => {
    if (blocked || gone.aborted) return
    const message = watch.snapshot()
    if (!message) return
    const bytes = toBinary(output, message)
    if (!watch.isQueue && last && Buffer.compare(bytes, last) === 0) return
    last = bytes
    if (call.write(message)) return void (watch.isQueue && send())
    blocked = true
    call.once('drain', () => {
      blocked = false
      send()
    })
  }

  const leave = watch.subscribe(send)
  const end = (): void => {
    leave()
    call.end()
  }

  if (watch.ended.aborted) return end()
  watch.ended.addEventListener('abort', end, { once: true })
  gone.addEventListener(
    'abort',
    () => {
      leave()
      watch.ended.removeEventListener('abort', end)
    },
    { once: true },
  )
  send()
}
