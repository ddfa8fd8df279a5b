import { Duplex } from 'node:stream'
import type { KubeConfig } from '@kubernetes/client-node'
import { WebSocket } from 'ws'
import { readBody, requestOptions } from '../api-request.ts'
import { serverOf } from '../server-address.ts'
import { RefusedUpgrade } from './refused-upgrade.ts'

const HIGH_WATER = 1 << 18
/** Bytes that may wait in the socket before a writer has to. */
const MOST_BUFFERED = 1 << 20
const CLOSE_LIMIT_MS = 2000
const PING_MS = 20_000
const NORMAL_CLOSE = [1000, 1001, 1005]

/** What to do with a message: the bytes for the reader, or none; throws to end the stream. */
export type Receive = (message: Buffer) => Buffer | undefined

/** How one WebSocket is to be opened. */
export type WebSocketRequest = {
  path: string
  /** Bytes put before what is written, in each message. */
  prefix: Buffer
  protocol: string
  receive: Receive
}

/** A WebSocket's binary messages as bytes, with back-pressure both ways. */
export class WebSocketStream extends Duplex {
  readonly #beat: NodeJS.Timeout
  readonly #prefix: Buffer
  readonly #webSocket: WebSocket
  #failed = false
  #heard = true

  constructor(webSocket: WebSocket, prefix: Buffer, receive: Receive) {
    super({ allowHalfOpen: true, readableHighWaterMark: HIGH_WATER, writableHighWaterMark: HIGH_WATER })
    this.#webSocket = webSocket
    this.#prefix = prefix
    this.#beat = setInterval(() => this.#checkLife(), PING_MS)
    this.#beat.unref()
    // Before "open": the first frames often ride in the packet of the 101 answer.
    webSocket.on('message', (message: Buffer) => this.#onMessage(message, receive))
    webSocket.on('pong', () => (this.#heard = true))
    webSocket.on('error', (error) => this.destroy(error))
    this.on('error', () => {}) // a failure that nobody waits for must not end the process
    webSocket.on('close', (code: number, reason: Buffer) => {
      if (this.#failed) return
      if (NORMAL_CLOSE.includes(code)) this.push(null)
      else this.destroy(new Error(`WebSocket closed: ${code} ${reason.toString('utf8')}`.trim()))
    })
  }

  override _read(): void {
    if (this.#webSocket.isPaused) this.#webSocket.resume()
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this._writev([{ chunk }], done)
  }

  /** One message for all that is waiting: it halves the cost of small writes, and the mask needs a copy anyway. */
  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    const webSocket = this.#webSocket
    const message = Buffer.concat([this.#prefix, ...chunks.map(({ chunk }) => chunk)])
    const mayGoOn = webSocket.bufferedAmount < MOST_BUFFERED
    webSocket.send(message, { binary: true }, mayGoOn ? undefined : (error) => done(error))
    if (mayGoOn) done()
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#webSocket.close()
    done()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearInterval(this.#beat)
    if (!error && this.writableFinished) {
      this.#webSocket.resume()
      setTimeout(() => this.#webSocket.terminate(), CLOSE_LIMIT_MS).unref()
    } else {
      this.#webSocket.terminate()
    }

    done(error)
  }

  #onMessage(message: Buffer, receive: Receive): void {
    this.#heard = true
    if (this.destroyed || this.#failed) return
    try {
      const bytes = receive(message)
      if (bytes?.length && !this.push(bytes)) this.#webSocket.pause()
    } catch (error) {
      // What rode in the packet of the 101 answer comes before anybody listens to this stream.
      this.#failed = true
      setImmediate(() => this.destroy(error as Error))
    }
  }

  #checkLife(): void {
    if (this.#webSocket.isPaused || this.#webSocket.readyState !== WebSocket.OPEN) return
    if (!this.#heard) return void this.destroy(new Error('No answer from the API server'))
    this.#heard = false
    this.#webSocket.ping()
  }
}

/** @throws RefusedUpgrade when the server answers anything but 101 with that protocol */
export async function openWebSocket(kubeConfig: KubeConfig, request: WebSocketRequest, signal: AbortSignal): Promise<WebSocketStream> {
  // As a plain header: ws takes no name with a slash in it, as in "SPDY/3.1+portforward.k8s.io".
  const options = await requestOptions(kubeConfig, { 'Sec-WebSocket-Protocol': request.protocol })
  signal.throwIfAborted()
  const url = serverOf(kubeConfig).replace(/^http/, 'ws') + request.path
  const limits = { followRedirects: false, maxPayload: 1 << 24, perMessageDeflate: false, skipUTF8Validation: true }
  // Masks protect proxies that read plain HTTP (RFC 6455 §10.3). Inside TLS nobody reads: a mask of zeros spares an upload half of its CPU.
  const mask = url.startsWith('wss:') ? { generateMask: (key: Buffer) => void key.fill(0) } : {}
  const webSocket = new WebSocket(url, { ...(options as object), ...limits, ...mask })
  webSocket.binaryType = 'nodebuffer'
  const stream = new WebSocketStream(webSocket, request.prefix, request.receive)
  return new Promise((resolve, reject) => {
    const abort = (): void => void stream.destroy(signal.reason as Error)
    const settle = (): void => {
      signal.removeEventListener('abort', abort)
      stream.off('error', fail)
    }
    const fail = (error: Error): void => {
      settle()
      // What is still to come of a failed handshake is of no interest.
      stream.on('error', () => {})
      reject(error)
    }
    signal.addEventListener('abort', abort, { once: true })
    stream.on('error', fail)
    webSocket.once('unexpected-response', (_request, response) => {
      void readBody(response, 1 << 16)
        .catch(() => '')
        .then((body) => stream.destroy(new RefusedUpgrade(response.statusCode ?? 0, body)))
    })
    webSocket.once('upgrade', ({ headers }) => {
      const chosen = headers['sec-websocket-protocol']
      if (chosen !== request.protocol) stream.destroy(new RefusedUpgrade(0, `The server chose the protocol "${String(chosen)}"`))
      delete headers['sec-websocket-protocol'] // ws fails on one that it did not ask for
    })
    webSocket.once('open', () => {
      settle()
      resolve(stream)
    })
  })
}
