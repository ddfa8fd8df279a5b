// Glue between protobuf-es descriptors and grpc-js, and the mapping of TpxError to gRPC status and back.
import { fromBinary, toBinary, type DescMethod, type DescService, type Message, type MessageShape } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import { isErrorCode } from '../base/error-codes.ts'
import { messageOf, TpxError } from '../base/error.ts'

/** Windows of 4 MiB: HTTP/2's default of 64 KiB allows 2 MB/s at 20 ms round trip. */
export const CHANNEL_OPTIONS: grpc.ChannelOptions = {
  'grpc-node.flow_control_window': 4 << 20,
  'grpc.max_receive_message_length': 4 << 20,
  'grpc.keepalive_permit_without_calls': 1,
}

const view = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

function methodDefinition(service: DescService, method: DescMethod): grpc.MethodDefinition<Message, Message> {
  return {
    path: `/${service.typeName}/${method.name}`,
    requestStream: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
    responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
    requestSerialize: (message) => view(toBinary(method.input, message)),
    requestDeserialize: (bytes) => fromBinary(method.input, bytes),
    responseSerialize: (message) => view(toBinary(method.output, message)),
    responseDeserialize: (bytes) => fromBinary(method.output, bytes),
  }
}

/** A grpc-js service definition; keys are the methods' localName (lowerCamelCase). */
export function serviceDefinition(service: DescService): grpc.ServiceDefinition {
  return Object.fromEntries(service.methods.map((method) => [method.localName, methodDefinition(service, method)]))
}

type Kind = 'bidi_streaming' | 'client_streaming' | 'server_streaming' | 'unary'
type Methods = Record<string, { input: unknown; methodKind: Kind; output: unknown }>
type Shape<D> = D extends import('@bufbuild/protobuf').DescMessage ? MessageShape<D> : never
type CallOf<M extends Methods[string]> = M['methodKind'] extends 'unary'
  ? (request: Shape<M['input']>, metadata?: grpc.Metadata, options?: grpc.CallOptions) => Promise<Shape<M['output']>>
  : M['methodKind'] extends 'server_streaming'
    ? (request: Shape<M['input']>, metadata?: grpc.Metadata, options?: grpc.CallOptions) => grpc.ClientReadableStream<Shape<M['output']>>
    : (metadata?: grpc.Metadata, options?: grpc.CallOptions) => grpc.ClientDuplexStream<Shape<M['input']>, Shape<M['output']>>

/** A typed client: unary calls are promises that reject with TpxError or grpc.ServiceError; streams are grpc-js streams. */
export type GrpcClient<S extends { method: Methods }> = { readonly [K in keyof S['method']]: CallOf<S['method'][K]> } & { close(): void }

/** Makes a typed client over an address, or over an existing channel by `options.channelOverride`. */
export function grpcClient<T extends Methods>(
  service: DescService & { method: { [K in keyof T]: unknown } },
  address: string,
  credentials: grpc.ChannelCredentials,
  options: grpc.ClientOptions = {},
): GrpcClient<{ method: T }> {
  const Client = grpc.makeGenericClientConstructor(serviceDefinition(service), service.typeName)
  const client = new Client(address, credentials, { ...CHANNEL_OPTIONS, ...options })
  const call = (method: DescMethod) => {
    const run = (client as unknown as Record<string, (...args: unknown[]) => unknown>)[method.localName]!.bind(client)
    if (method.methodKind !== 'unary') return run
    return (request: unknown, metadata = new grpc.Metadata(), callOptions: grpc.CallOptions = {}) =>
      new Promise((resolve, reject) => {
        run(request, metadata, callOptions, (error: grpc.ServiceError | null, response: unknown) => {
          if (error) reject(fromStatus(error))
          else resolve(response)
        })
      })
  }

  const methods = Object.fromEntries(service.methods.map((method) => [method.localName, call(method)]))
  return { ...methods, close: () => client.close() } as GrpcClient<{ method: T }>
}

const CODE_KEY = 'tpx-error-code'
const HINT_KEY = 'tpx-error-hint-bin'

/** Which gRPC status a code travels as; Telepresence's clients show only FAILED_PRECONDITION as the user's own error. */
const STATUS: Partial<Record<string, grpc.status>> = {
  SESSION_LOST: grpc.status.NOT_FOUND,
  WORKLOAD_NOT_FOUND: grpc.status.NOT_FOUND,
  ATTACHMENT_NOT_FOUND: grpc.status.NOT_FOUND,
  ATTACHMENT_EXISTS: grpc.status.ALREADY_EXISTS,
  AGENT_NOT_READY: grpc.status.DEADLINE_EXCEEDED,
  USAGE: grpc.status.INVALID_ARGUMENT,
  BUG: grpc.status.INTERNAL,
}

/** A TpxError as a gRPC status with code and hint in trailing metadata; anything else as INTERNAL with its text only. */
export function toStatus(error: unknown): Partial<grpc.StatusObject> {
  if (!(error instanceof TpxError)) return { code: grpc.status.INTERNAL, details: messageOf(error) }
  const metadata = new grpc.Metadata()
  metadata.set(CODE_KEY, error.code)
  if (error.hint) metadata.set(HINT_KEY, Buffer.from(error.hint))
  return { code: STATUS[error.code] ?? grpc.status.FAILED_PRECONDITION, details: error.message, metadata }
}

/** The reverse of {@link toStatus}; a status without our metadata stays the grpc.ServiceError it is. */
export function fromStatus(error: grpc.ServiceError): TpxError | grpc.ServiceError {
  const code = error.metadata?.get(CODE_KEY)[0]
  if (!isErrorCode(code)) return error
  const hint = error.metadata.get(HINT_KEY)[0]
  return new TpxError(code, error.details, { cause: error, hint: hint === undefined ? undefined : hint.toString('utf8' as never) })
}

/** Tells a gRPC status, also behind a TpxError. */
export function grpcStatus(error: unknown): grpc.status | undefined {
  const found = error instanceof TpxError ? error.cause : error
  return (found as Partial<grpc.ServiceError> | undefined)?.code
}
