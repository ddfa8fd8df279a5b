import type { Duplex } from 'node:stream'
import type Docker from 'dockerode'
import { messageOf } from '../base/error.ts'
import type { Logger } from '../base/logger.ts'
import { keepTrying } from '../base/retry.ts'
import { CARRIER_DIR, SPARE_SOCKET } from '../wire/carrier.ts'
import { DockerDemux } from './docker-demux.ts'

/** Streams that wait in the tunnel for being taken: one for now, one for while it is replaced. */
const SPARES = 2
const BACKOFF = { firstMs: 100, mostMs: 3000 }
/** socat ends this long after one direction has; its own default of 0.5 s would cut answers off after a half-close. */
const SOCAT_LINGER = '60'

/** What the exec carrier works with. */
export type ExecCarrierOptions = {
  container: string
  docker: Docker
  logger: Logger
  route: (stream: Duplex, taken: () => void) => Promise<void>
  signal: AbortSignal
}

/**
 * The exec carrier, for every engine that shares no file system with us: keeps spare streams, each the stdio of a socat in
 * the tunnel container that is connected to the tunnel's spare socket. Attaches again, with back-off, when the tunnel restarts.
 * @returns when the signal aborts
 */
export async function runExecCarrier(options: ExecCarrierOptions): Promise<void> {
  const { logger, route, signal } = options
  const keepOne = (): Promise<void> =>
    keepTrying(
      async () => {
        const stream = await attach(options)
        await new Promise<void>((resolve, reject) => {
          let isTaken = false
          const taken = (): void => {
            isTaken = true
            resolve()
          }
          // The stream lives on after it was taken; this turn ends, and the next makes a new spare.
          void route(stream, taken).then(() => {
            if (!isTaken) reject(new Error('The tunnel closed the stream before it was used'))
          })
        })
        return true
      },
      { backoff: BACKOFF, signal, onError: (error) => logger.debug({ reason: messageOf(error) }, 'exec carrier: no stream') },
    )
  await Promise.all(
    Array.from({ length: SPARES }, async () => {
      while (!signal.aborted) await keepOne()
    }),
  )
}

async function attach({ container, docker, logger, signal }: ExecCarrierOptions): Promise<Duplex> {
  const exec = await docker.getContainer(container).exec({
    AttachStderr: true,
    AttachStdin: true,
    AttachStdout: true,
    Cmd: ['socat', '-t', SOCAT_LINGER, 'STDIO', `UNIX-CONNECT:${CARRIER_DIR}/${SPARE_SOCKET}`],
    Tty: false,
  })
  const socket = await exec.start({ hijack: true, stdin: true, Tty: false })
  const stream = new DockerDemux(socket, (text) => logger.debug({ text: text.trim() }, 'exec carrier: stderr'))
  const stop = (): void => void stream.destroy()
  signal.addEventListener('abort', stop, { once: true })
  stream.once('close', () => signal.removeEventListener('abort', stop))
  return stream
}
