import { attachmentService } from './attachment-service.ts'
import type { HandlerFactory, Handlers } from './grpc-handlers.ts'
import type { ManagerPorts } from './manager-ports.ts'
import { nameService } from './name-service.ts'
import { sessionService } from './session-service.ts'
import { tunnelService } from './tunnel-service.ts'
import { watchService } from './watch-service.ts'

/** Everything that clients may call; the rest of the service answers UNIMPLEMENTED. */
export function clientService(ports: ManagerPorts, handle: HandlerFactory): Handlers {
  return {
    ...sessionService(ports, handle),
    ...watchService(ports, handle),
    ...attachmentService(ports, handle),
    ...nameService(ports, handle),
    ...tunnelService(ports, handle),
  }
}
