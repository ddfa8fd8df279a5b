// The first bytes of a connection decide what it carries, so that one port serves several peers:
//   "PRI * HTTP/2.0"            gRPC (RFC 9113 §3.4), also from Telepresence's clients
//   "TPX/1 VERB ARGUMENT…\n"    a tpx stream; answered by "ok\n" or "error CODE MESSAGE\n"
import type { Duplex } from 'node:stream'
import { type ErrorCode, isErrorCode } from '../base/error-codes.ts'
import { TpxError } from '../base/error.ts'

const MAGIC = 'TPX/1 '
const MAX_LINE = 1024

/** What a connection begins with. */
export type Preface = { kind: 'http2' } | { kind: 'tpx'; verb: string; args: string[] }

/** The line that opens a tpx stream. Words must not hold spaces or line breaks. */
export function formatPreface(verb: string, ...args: string[]): string {
  return `${MAGIC}${[verb, ...args].join(' ')}\n`
}

/** The line that accepts a tpx stream. */
export const ACCEPTED = 'ok\n'

/** The line that accepts a strand of a pipe (pipe-host.ts), with the number of bytes that have been taken in. */
export function formatAcceptance(position: number): string {
  return `ok ${position}\n`
}

/** The line that refuses a tpx stream. */
export function formatRefusal(code: ErrorCode, message: string): string {
  return `error ${code} ${message.replaceAll('\n', ' ')}\n`
}

/**
 * Reads up to a line feed and puts the rest back; the stream is paused afterwards.
 * @throws TpxError CARRIER_FAILED when the stream ends first, or the line is longer than 1 KiB
 */
export function readLine(stream: Duplex): Promise<string> {
  return new Promise((resolve, reject) => {
    let seen = Buffer.alloc(0)
    const stop = (): void => void stream.off('data', onData).off('end', onEnd).off('close', onEnd).off('error', onEnd)
    const onEnd = (cause?: unknown): void => {
      stop()
      reject(new TpxError('CARRIER_FAILED', `Stream ended before its first line: got ${seen.length} bytes`, { cause }))
    }
    const onData = (chunk: Buffer): void => {
      seen = Buffer.concat([seen, chunk])
      const at = seen.indexOf(10)
      if (at < 0 && seen.length <= MAX_LINE) return
      stop()
      stream.pause()
      if (at < 0) return void reject(new TpxError('CARRIER_FAILED', 'First line of a stream is too long'))
      if (seen.length > at + 1) stream.unshift(seen.subarray(at + 1))
      resolve(seen.subarray(0, at).toString('utf8'))
    }
    // A stream that was paused before (by an earlier line) does not flow again by a listener alone.
    stream.on('data', onData).once('end', onEnd).once('close', onEnd).once('error', onEnd).resume()
  })
}

/** Tells what an accepted connection carries; for `http2` the bytes are put back untouched, for `tpx` the line is consumed. */
export function readPreface(stream: Duplex): Promise<Preface> {
  return new Promise((resolve, reject) => {
    const onEnd = (): void => void reject(new TpxError('CARRIER_FAILED', 'Stream ended before its preface'))
    stream.once('end', onEnd).once('close', onEnd).once('error', onEnd)
    stream.once('data', (chunk: Buffer) => {
      stream.off('end', onEnd).off('close', onEnd).off('error', onEnd)
      stream.pause()
      stream.unshift(chunk)
      // A peer writes its preface in one piece: a first byte of "P" is HTTP/2, of "T" is ours.
      if (chunk[0] !== MAGIC.charCodeAt(0)) return void resolve({ kind: 'http2' })
      readLine(stream)
        .then((line) => {
          if (!line.startsWith(MAGIC)) throw new TpxError('CARRIER_FAILED', 'Stream begins with neither HTTP/2 nor TPX/1')
          const [verb = '', ...args] = line.slice(MAGIC.length).split(' ')
          resolve({ kind: 'tpx', verb, args })
        })
        .catch(reject)
    })
    stream.resume()
  })
}

/**
 * The opening side: writes the preface and waits for the answer line.
 * @returns the words behind "ok"
 * @throws TpxError with the code that the other side gave
 */
export async function openTpxStream(stream: Duplex, verb: string, ...args: string[]): Promise<string[]> {
  stream.write(formatPreface(verb, ...args))
  const line = await readLine(stream)
  const [first, ...words] = line.split(' ')
  if (first === ACCEPTED.trimEnd()) return words
  const [, code, message] = /^error (\S+) (.*)$/.exec(line) ?? []
  throw new TpxError(isErrorCode(code) ? code : 'BUG', message ?? `Unexpected answer: "${line}"`)
}
