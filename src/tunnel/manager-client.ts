import { create } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import { TpxError } from '../base/error.ts'
import { Manager, SessionInfoSchema, type SessionInfo } from '../wire/generated/manager_pb.ts'
import { type GrpcClient, grpcClient, grpcStatus } from '../wire/grpc.ts'

/** A typed client of the traffic-manager. */
export type ManagerClient = GrpcClient<typeof Manager>

const POD_HINT = 'See whether its Pod runs: `kubectl get pods -n <manager namespace> -l app=traffic-manager`'

/** A client over one channel that never dials again by itself. */
export function openManagerClient(address: string): ManagerClient {
  return grpcClient<(typeof Manager)['method']>(Manager, address, grpc.credentials.createInsecure(), {
    'grpc.default_authority': 'traffic-manager',
    'grpc.enable_http_proxy': 0,
    'grpc.service_config_disable_resolution': 1,
    'grpc.enable_retries': 0,
  })
}

/** The session as most calls want it. */
export function sessionInfo(sessionId: string): SessionInfo {
  return create(SessionInfoSchema, { sessionId })
}

/** Call options with a limit. @param ms from now */
export function within(ms: number): grpc.CallOptions {
  return { deadline: Date.now() + ms }
}

/** A failed call in the user's words; an error that the manager itself reported stays what it is. */
export function asManagerError(error: unknown): TpxError {
  if (error instanceof TpxError) return error
  const { details, message } = error as Partial<grpc.ServiceError>
  const text = details || message || String(error)
  const status = grpcStatus(error)
  if (status === grpc.status.DEADLINE_EXCEEDED)
    return new TpxError('MANAGER_UNREACHABLE', 'The traffic-manager did not answer in time', { cause: error, hint: POD_HINT })
  if (status === grpc.status.UNAVAILABLE || status === grpc.status.CANCELLED)
    return new TpxError('MANAGER_UNREACHABLE', `The connection to the traffic-manager was lost: ${text}`, { cause: error, hint: POD_HINT })
  return new TpxError('MANAGER_UNREACHABLE', `The traffic-manager refused a request: ${text}`, { cause: error })
}

/** Tells "I do not know your session" from other failures (the text is the protocol: Telepresence's clients look for it). */
export function isSessionUnknown(error: unknown): boolean {
  if (error instanceof TpxError && error.code === 'SESSION_LOST') return true
  const details = (error as Partial<grpc.ServiceError>).details ?? ''
  return grpcStatus(error) === grpc.status.NOT_FOUND && details.startsWith('Client session ')
}
