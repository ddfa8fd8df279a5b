import { Duplex } from 'node:stream'

const STDOUT = 1
const HIGH_WATER = 1 << 18

/**
 * A hijacked exec stream without TTY as a Duplex: stdin goes in as is; what comes out is framed (Engine API "Stream
 * format": type, three zeros, four bytes of length). Standard output is the stream's data, standard error goes to `onStderr`.
 */
export class DockerDemux extends Duplex {
  readonly #onStderr: (text: string) => void
  readonly #socket: Duplex
  #head: Buffer = Buffer.alloc(0)
  #left = 0
  #type = 0

  constructor(socket: Duplex, onStderr: (text: string) => void) {
    super({ allowHalfOpen: true, readableHighWaterMark: HIGH_WATER, writableHighWaterMark: HIGH_WATER })
    this.#socket = socket
    this.#onStderr = onStderr
    socket.on('data', (bytes: Buffer) => this.#onBytes(bytes))
    socket.on('end', () => this.push(null))
    socket.on('error', (error) => this.destroy(error))
    socket.on('close', () => this.destroy())
  }

  override _read(): void {
    this.#socket.resume()
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this._writev([{ chunk }], done)
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#socket.cork()
    let hasRoom = true
    for (const { chunk } of chunks) hasRoom = this.#socket.write(chunk)
    this.#socket.uncork()
    if (hasRoom) done()
    else this.#socket.once('drain', done)
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(() => done())
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy()
    done(error)
  }

  #onBytes(bytes: Buffer): void {
    let rest = bytes
    while (rest.length) {
      if (!this.#left) {
        const missing = 8 - this.#head.length
        this.#head = Buffer.concat([this.#head, rest.subarray(0, missing)])
        rest = rest.subarray(missing)
        if (this.#head.length < 8) return
        this.#type = this.#head[0]!
        this.#left = this.#head.readUInt32BE(4)
        this.#head = Buffer.alloc(0)
        continue
      }

      const part = rest.subarray(0, this.#left)
      this.#left -= part.length
      rest = rest.subarray(part.length)
      if (this.#type !== STDOUT) this.#onStderr(part.toString('utf8'))
      else if (!this.destroyed && !this.push(part)) this.#socket.pause()
    }
  }
}
