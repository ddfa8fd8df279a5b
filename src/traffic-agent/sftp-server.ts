import type { Duplex } from 'node:stream'
import type { AgentMount } from '../wire/agent-config.ts'
import { PACKET } from './sftp-packet.ts'
import { SftpSession } from './sftp-session.ts'

/** Length of a packet at most, as OpenSSH's SFTP_MAX_MSG_LENGTH. */
const MAX_PACKET_BYTES = 256 << 10
/** READs under way at once; with answers of 64 KiB this bounds a session's memory to about 1 MiB. */
const MAX_READS = 16

/**
 * Serves SFTP version 3 (draft-ietf-secsh-filexfer-02) on a bare stream, without SSH, until it ends; ends it then. Never rejects.
 * Packets are carried out in order: sshfs sends OPEN(CREAT) and LSTAT back to back. Only READs run side by side.
 * @param options `mounts`: what may be seen; `readOnly`: nothing may be changed, whatever the mounts allow
 */
export async function serveFiles(stream: Duplex, options: { mounts: readonly AgentMount[]; readOnly: boolean }): Promise<void> {
  const session = new SftpSession(options)
  const reads = new Set<Promise<void>>()
  const answer = async (packet: Buffer): Promise<void> => {
    const bytes = await session.handle(packet)
    if (!stream.destroyed) stream.write(bytes)
  }

  try {
    for await (const packet of packets(stream)) {
      if (packet[0] === PACKET.READ) {
        const read: Promise<void> = answer(packet).finally(() => reads.delete(read))
        reads.add(read)
        if (reads.size >= MAX_READS) await Promise.race(reads)
      } else {
        await Promise.all(reads)
        await answer(packet)
      }
      if (stream.writableNeedDrain) await drained(stream)
    }
    await Promise.all(reads)
    stream.end()
  } catch {
    // A broken stream, or something that is not SFTP.
    stream.destroy()
  } finally {
    await Promise.allSettled(reads)
    session.close()
  }
}

/** Cuts a stream into packets without their length. Throws at a length that no client sends. */
async function* packets(stream: Duplex): AsyncGenerator<Buffer> {
  let parts: Buffer[] = []
  let size = 0
  const head = (need: number): Buffer => {
    if ((parts[0]?.length ?? 0) < need) parts = [Buffer.concat(parts)]
    return parts[0] ?? Buffer.alloc(0)
  }

  for await (const chunk of stream as AsyncIterable<Buffer>) {
    parts.push(chunk)
    size += chunk.length
    while (size >= 4) {
      const length = head(4).readUInt32BE(0)
      if (length < 1 || length > MAX_PACKET_BYTES) throw new Error('Not an SFTP packet')
      if (size < 4 + length) break
      const first = head(4 + length)
      parts[0] = first.subarray(4 + length)
      size -= 4 + length
      yield first.subarray(4, 4 + length)
    }
  }
}

function drained(stream: Duplex): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off('drain', done).off('close', done)
      resolve()
    }
    stream.on('drain', done).on('close', done)
  })
}
