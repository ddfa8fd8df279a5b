import type { Socket } from 'node:net'
import { messageOf, TpxError } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import { serveControl } from '../wire/control-channel.ts'
import type { LinkStatus, Ownership } from '../wire/control.ts'
import type { Choice, Variables } from '../wire/link-environment.ts'
import type { TunnelControl } from './tunnel-control.ts'

const TUNNEL_LIMIT_MS = 30_000
/** A wait shorter than this is not worth telling. */
const SILENT_MS = 300

/** What the control socket needs of the rest of the link. */
export type ControlServerParts = {
  control: TunnelControl
  guardian: {
    disown(owner: object): void
    own(owner: object, ownership: Ownership): void
    release(owner: object): Promise<void>
    quitting(): void
  }
  logger: Logger
  /** @throws TpxError CONNECTION_EXISTS */
  onEnvironment: (variables: Variables, choice: Choice) => void
  quit: () => void
  status: () => Promise<LinkStatus>
  tunnelContainer: string
}

/** Serves one connection of the CLI: `link.*` here, everything else by the tunnel. */
export function serveCli(socket: Socket, parts: ControlServerParts): void {
  const { guardian, logger } = parts
  // The connection itself is the owner: it closes with its process, however that ends.
  socket.once('end', () => socket.end())
  socket.once('close', () => {
    guardian.release(socket).catch((error: unknown) => logger.error({ reason: messageOf(error) }, 'taking back failed'))
  })
  serveControl(socket, async (method, params, progress) => {
    if (method.startsWith('link.')) return answerSelf(method, params, socket, parts)
    if (method === 'quit') guardian.quitting()
    return forward(method, params, progress, parts)
  })
}

async function answerSelf(
  method: string,
  params: unknown,
  owner: object,
  { guardian, onEnvironment, quit, status }: ControlServerParts,
): Promise<unknown> {
  switch (method) {
    case 'link.status':
      return status()
    case 'link.environment':
      onEnvironment(...readEnvironment(params))
      return {}
    case 'link.own':
      guardian.own(owner, readOwnership(params))
      return {}
    case 'link.disown':
      guardian.disown(owner)
      return {}
    case 'link.quit':
      guardian.quitting()
      // After the answer has gone out.
      setTimeout(quit, 50)
      return {}
    default:
      throw new TpxError('USAGE', `The link knows no method "${method}"`)
  }
}

async function forward(
  method: string,
  params: unknown,
  progress: (text: string) => void,
  { control, tunnelContainer }: ControlServerParts,
): Promise<unknown> {
  const notice = setTimeout(() => progress('Waiting for the tunnel'), control.isUp ? 2 ** 31 - 1 : SILENT_MS)
  const client = await control.get(TUNNEL_LIMIT_MS, tunnelContainer).finally(() => clearTimeout(notice))
  return control.forward(client, { method, params, progress })
}

function readEnvironment(params: unknown): [Variables, Choice] {
  const { choice, variables } = (params ?? {}) as { choice?: unknown; variables?: unknown }
  if (!isObject(variables) || !isObject(choice)) throw new TpxError('USAGE', 'link.environment needs variables and a choice')
  const texts = Object.entries(variables).filter((entry): entry is [string, string] => typeof entry[1] === 'string')
  return [Object.fromEntries(texts), choice as Choice]
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

function readOwnership(params: unknown): Ownership {
  const { attachments, owner, quit } = (params ?? {}) as Partial<Record<keyof Ownership, unknown>>
  if (typeof owner !== 'string' || !owner) throw new TpxError('USAGE', 'link.own needs an owner')
  const names = Array.isArray(attachments) ? attachments.filter((name) => typeof name === 'string') : []
  return { attachments: names, owner, quit: quit === true }
}
