import type { Duplex } from 'node:stream'
import { createInterface } from 'node:readline'
import { asTpxError, fromRecord, TpxError } from '../base/error.ts'
import type { ControlMethod, ControlMethods, ControlReply, ControlRequest } from './control.ts'

type Pending = { onProgress: ((text: string) => void) | undefined; reject: (error: unknown) => void; resolve: (result: unknown) => void }

/** The calling side of a control stream. Many calls may be open at once. */
export class ControlClient {
  /** Resolves when the stream is gone. */
  readonly closed: Promise<void>
  readonly #pending = new Map<number, Pending>()
  readonly #stream: Duplex
  #nextId = 1

  constructor(stream: Duplex) {
    this.#stream = stream
    readLines(stream, (line) => this.#onLine(line))
    const lose = (): void => {
      for (const call of this.#pending.values()) call.reject(new TpxError('CARRIER_FAILED', 'The control stream closed before it answered'))
      this.#pending.clear()
    }
    stream.on('error', lose).on('close', lose)
    this.closed = new Promise((resolve) => {
      if (stream.destroyed) resolve()
      stream.once('close', () => resolve())
    })
  }

  /** @throws the TpxError that the other side answered with, or CARRIER_FAILED when the stream is lost */
  call<M extends ControlMethod>(
    method: M,
    params: ControlMethods[M]['params'],
    options: { onProgress?: (text: string) => void } = {},
  ): Promise<ControlMethods[M]['result']> {
    return this.forward(method, params, options.onProgress) as Promise<ControlMethods[M]['result']>
  }

  /** An untyped call, for relaying. */
  forward(method: string, params: unknown, onProgress?: (text: string) => void): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#stream.destroyed) return void reject(new TpxError('CARRIER_FAILED', 'The control stream is closed'))
      const id = this.#nextId++
      this.#pending.set(id, { onProgress, reject, resolve })
      this.#stream.write(`${JSON.stringify({ id, method, params } satisfies ControlRequest)}\n`)
    })
  }

  close(): void {
    this.#stream.destroy()
  }

  #onLine(line: string): void {
    const reply = parseLine(line) as ControlReply | undefined
    // A peer that speaks something else is not ours: its stream ends, never this program.
    if (!reply) return void this.#stream.destroy()
    const call = this.#pending.get(reply.id)
    if (!call) return
    if ('progress' in reply) return void call.onProgress?.(reply.progress)
    this.#pending.delete(reply.id)
    if ('error' in reply) call.reject(fromRecord(reply.error))
    else call.resolve(reply.result)
  }
}

/** Answers one call; what it throws is sent as an error record, without stack. */
export type ControlHandler = (method: string, params: unknown, progress: (text: string) => void) => Promise<unknown>

/** The answering side of a control stream. Calls run side by side. */
export function serveControl(stream: Duplex, handler: ControlHandler): void {
  const send = (reply: ControlReply): void => {
    if (!stream.destroyed) stream.write(`${JSON.stringify(reply)}\n`)
  }

  const answer = async ({ id, method, params }: ControlRequest): Promise<void> => {
    try {
      send({ id, result: (await handler(method, params, (progress) => send({ id, progress }))) ?? {} })
    } catch (error) {
      send({ id, error: asTpxError(error).toRecord() })
    }
  }

  stream.on('error', () => {})
  readLines(stream, (line) => {
    const request = parseLine(line) as ControlRequest | undefined
    if (request) void answer(request)
    else stream.destroy()
  })
}

/** An error of the stream is emitted by readline once more, where nobody else listens. */
function readLines(stream: Duplex, onLine: (line: string) => void): void {
  createInterface({ input: stream })
    .on('line', onLine)
    .on('error', () => {})
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
