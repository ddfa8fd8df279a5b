import { once } from 'node:events'
import { create } from '@bufbuild/protobuf'
import type * as grpc from '@grpc/grpc-js'
import { TpxError } from '../base/error.ts'
import { type TunnelMessage, TunnelMessageSchema } from '../wire/generated/manager_pb.ts'
import {
  decodeTunnelPayload,
  encodeTunnelPayload,
  MAX_TUNNEL_CHUNK,
  type StreamInfo,
  TUNNEL_VERSION,
  type TunnelPayload,
} from '../wire/tunnel-message.ts'

/** A call of Manager.Tunnel as grpc-js gives it to the server. */
export type TunnelCall = grpc.ServerDuplexStream<TunnelMessage, TunnelMessage>

/** The serving end of one Tunnel call: messages in, messages out, with back-pressure. */
export class TunnelEnd {
  /** Aborts when the caller cancelled or its connection is lost, or after {@link abort}. */
  readonly lost: AbortSignal
  readonly #call: TunnelCall
  readonly #controller = new AbortController()
  #stopped = false
  #wake: (() => void) | undefined

  constructor(call: TunnelCall) {
    this.lost = this.#controller.signal
    this.#call = call
    const wake = (): void => this.#wake?.()
    call.once('cancelled', () => this.abort())
    call.on('readable', wake).on('end', wake).on('close', wake).on('error', wake)
  }

  /**
   * Reads the caller's introduction, checks its session and answers streamOk.
   * @throws TpxError USAGE when the first message is none; what `check` throws
   */
  async accept(check: (sessionId: string) => unknown): Promise<StreamInfo> {
    const first = await this.receive()
    if (first?.kind !== 'streamInfo') throw new TpxError('USAGE', `A tunnel must begin with its stream info, not with "${first?.kind}"`)
    check(first.sessionId)
    await this.send({ kind: 'streamOk', version: TUNNEL_VERSION })
    return first
  }

  /** The next message; undefined when the caller ended its side or is lost, or after {@link stop}. One call at a time. */
  async receive(): Promise<TunnelPayload | undefined> {
    while (!this.#stopped && !this.lost.aborted) {
      const message = this.#call.read() as TunnelMessage | null
      if (message) return decodeTunnelPayload(message.payload)
      if (this.#call.readableEnded || this.#call.destroyed) return undefined
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }

    return undefined
  }

  /** Makes the pending and every later {@link receive} answer undefined. */
  stop(): void {
    this.#stopped = true
    this.#wake?.()
  }

  /** Sends a message; waits while the caller does not read. Nothing happens when the call is over. */
  async send(payload: TunnelPayload): Promise<void> {
    if (this.#call.writableEnded || this.#call.destroyed || this.lost.aborted) return
    if (this.#call.write(create(TunnelMessageSchema, { payload: encodeTunnelPayload(payload) }))) return
    await once(this.#call, 'drain', { signal: this.lost }).catch(() => {})
  }

  /** Sends data in chunks that every peer can take; nothing for an empty buffer. */
  async sendData(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length; at += MAX_TUNNEL_CHUNK) {
      await this.send({ data: data.subarray(at, at + MAX_TUNNEL_CHUNK), kind: 'normal' })
    }
  }

  /** Gives the connection up: what {@link lost} stands for happens on this side. */
  abort(): void {
    this.#controller.abort()
    this.#wake?.()
    this.end()
  }

  end(): void {
    if (!this.#call.writableEnded && !this.#call.destroyed) this.#call.end()
  }
}
