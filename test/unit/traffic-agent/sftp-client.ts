import { type Duplex, duplexPair } from 'node:stream'
import type { AgentMount } from '../../../src/wire/agent-config.ts'
import { OPEN_FLAG, PACKET, packet, PacketReader, STATUS, text, u32, u64 } from '../../../src/traffic-agent/sftp-packet.ts'
import { serveFiles } from '../../../src/traffic-agent/sftp-server.ts'

/** An answer: its type and the fields after the id. */
export type Answer = { fields: PacketReader; type: number }

/** A status other than OK, as a word for comparisons. */
export class StatusError extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** A small SFTP client for tests: many requests may be open at once. */
export class SftpClient {
  readonly #stream: Duplex
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  #next = 1
  /** Ids in the order in which answers came. */
  readonly order: number[] = []
  version: Buffer | undefined

  constructor(stream: Duplex) {
    this.#stream = stream
    void this.#read()
  }

  async #read(): Promise<void> {
    let pending = Buffer.alloc(0)
    try {
      for await (const chunk of this.#stream as AsyncIterable<Buffer>) {
        pending = Buffer.concat([pending, chunk])
        while (pending.length >= 4 && pending.length >= 4 + pending.readUInt32BE(0)) {
          const bytes = pending.subarray(4, 4 + pending.readUInt32BE(0))
          pending = pending.subarray(4 + bytes.length)
          if (bytes[0] === PACKET.VERSION) {
            this.version = bytes
            continue
          }
          const id = bytes.readUInt32BE(1)
          this.order.push(id)
          this.#waiting.get(id)?.({ fields: new PacketReader(bytes.subarray(5)), type: bytes[0] ?? 0 })
          this.#waiting.delete(id)
        }
      }
    } catch {
      // The tests look at what was answered.
    }
  }

  ask(type: number, ...fields: Buffer[]): Promise<Answer> {
    const id = this.#next++
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve)
      this.#stream.write(packet(type, u32(id), ...fields))
    })
  }

  /** @throws StatusError unless OK */
  async run(type: number, ...fields: Buffer[]): Promise<void> {
    check(await this.ask(type, ...fields))
  }

  async open(path: string, flags: number = OPEN_FLAG.READ): Promise<Buffer> {
    return Buffer.from(check(await this.ask(PACKET.OPEN, text(path), u32(flags), u32(0))).bytes())
  }

  async read(handle: Buffer, offset = 0, length = 65_536): Promise<Buffer> {
    const answer = await this.ask(PACKET.READ, field(handle), u64(offset), u32(length))
    return Buffer.from(check(answer).bytes())
  }

  write(handle: Buffer, bytes: string, offset = 0): Promise<void> {
    return this.run(PACKET.WRITE, field(handle), u64(offset), text(bytes))
  }

  close(handle: Buffer): Promise<void> {
    return this.run(PACKET.CLOSE, field(handle))
  }

  async readFile(path: string): Promise<string> {
    const handle = await this.open(path)
    try {
      return (await this.read(handle)).toString()
    } catch (error) {
      if (error instanceof StatusError && error.status === STATUS.EOF) return ''
      throw error
    } finally {
      await this.close(handle)
    }
  }

  async list(path: string): Promise<Map<string, { mode: number; size: number }>> {
    const handle = Buffer.from(check(await this.ask(PACKET.OPENDIR, text(path))).bytes())
    const found = new Map<string, { mode: number; size: number }>()
    for (;;) {
      const answer = await this.ask(PACKET.READDIR, field(handle))
      if (answer.type === PACKET.STATUS) break
      for (let left = answer.fields.u32(); left > 0; left--) {
        const name = answer.fields.text()
        answer.fields.bytes()
        const { mode = 0, size = 0 } = answer.fields.attributes()
        found.set(name, { mode, size })
      }
    }
    await this.close(handle)
    return found
  }

  async stat(path: string, type: number = PACKET.STAT): Promise<{ mode: number; size: number }> {
    const { mode = 0, size = 0 } = check(await this.ask(type, text(path))).attributes()
    return { mode, size }
  }

  async readLink(path: string): Promise<string> {
    const fields = check(await this.ask(PACKET.READLINK, text(path)))
    fields.u32()
    return fields.text()
  }

  end(): void {
    this.#stream.destroy()
  }
}

/** The fields of an answer. @throws StatusError of a status other than OK */
export function check({ fields, type }: Answer): PacketReader {
  if (type === PACKET.STATUS) {
    const status = fields.u32()
    if (status !== STATUS.OK) throw new StatusError(status, fields.text())
  }
  return fields
}

/** A string field of bytes. */
export function field(bytes: Buffer): Buffer {
  return Buffer.concat([u32(bytes.length), bytes])
}

/** A client joined to a server in this process. */
export function openFiles(mounts: AgentMount[], readOnly = true): SftpClient & AsyncDisposable {
  const [near, far] = duplexPair()
  const served = serveFiles(far, { mounts, readOnly })
  const client = new SftpClient(near)
  near.on('error', () => {})
  return Object.assign(client, {
    [Symbol.asyncDispose]: async () => {
      client.end()
      far.destroy()
      await served
    },
  })
}
