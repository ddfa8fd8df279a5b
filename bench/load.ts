// The load generators: Debian's wrk and curl, and dns-client.ts.
import { root, run } from './run.ts'

/** Where a generator runs: the network namespace of a process, or this machine's own (undefined). */
export type Place = number | undefined

const at = (place: Place, words: string[]): [file: string, words: string[]] =>
  place === undefined ? [words[0] ?? '', words.slice(1)] : ['nsenter', [`--net=/proc/${place}/ns/net`, '--', ...words]]

/** Requests of one run of wrk. */
export type Requests = { errors: string; p50Ms: number; p99Ms: number; perSecond: number }

const UNIT_MS: Record<string, number> = { m: 60_000, ms: 1, s: 1000, us: 0.001 }

function latencyMs(output: string, percent: number): number {
  const [, value, unit] = new RegExp(`^\\s+${percent}%\\s+([\\d.]+)(us|ms|s|m)\\s*$`, 'm').exec(output) ?? []
  return Number(value) * (UNIT_MS[unit ?? ''] ?? NaN)
}

/** Runs wrk. `close`: a new connection for each request. */
export async function requests(
  place: Place,
  url: string,
  options: { close?: boolean; connections: number; seconds: number },
): Promise<Requests> {
  const { close = false, connections, seconds } = options
  const words = ['wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--latency', ...(close ? ['-H', 'Connection: close'] : []), url]
  const { output } = await run(...at(place, words), { seconds: seconds + 20 })
  return {
    errors: [/Socket errors: (.*)/.exec(output)?.[1], /Non-2xx or 3xx responses: \d+/.exec(output)?.[0]].filter(Boolean).join('; '),
    p50Ms: latencyMs(output, 50),
    p99Ms: latencyMs(output, 99),
    perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(output)?.[1]),
  }
}

/** Bytes that were moved, and how fast. */
export type Bulk = { bytes: number; mbPerSecond: number }

const TIMED_OUT = 28 // curl's exit status when -m is reached, which ends every download here

function bulkOf(output: string): Bulk {
  const [bytes = NaN, seconds = NaN] = output.trim().split(' ').map(Number)
  if (!(bytes > 0)) throw new Error(`curl moved nothing: ${output}`)
  return { bytes, mbPerSecond: bytes / 1e6 / seconds }
}

/** Downloads for so many seconds. */
export async function download(place: Place, base: string, seconds: number): Promise<Bulk> {
  const format = '%{size_download} %{time_total}'
  const words = ['curl', '-sS', '-o', '/dev/null', '-m', String(seconds), '-w', format, `${base}/bytes/1000000000000`]
  return bulkOf((await run(...at(place, words), { seconds: seconds + 20, statuses: [0, TIMED_OUT] })).output)
}

/**
 * Uploads for so many seconds and waits until the server has answered, so that what only lies in buffers on the way does not
 * count as sent.
 */
export async function upload(place: Place, base: string, seconds: number): Promise<Bulk> {
  const curl = `curl -sS -T - -H Expect: -o /dev/null -m ${seconds + 15} -w '%{size_upload} %{time_total} %{http_code}' '${base}/up'`
  const { output } = await run(...at(place, ['sh', '-c', `timeout ${seconds} cat /dev/zero | ${curl}`]), { seconds: seconds + 20 })
  if (!output.endsWith(' 200')) throw new Error(`the upload was answered with "${output}"`)
  return bulkOf(output)
}

/** The body of one GET. */
export async function body(place: Place, url: string): Promise<string> {
  return (await run(...at(place, ['curl', '-sS', '-m', '5', url]))).output
}

/** Latency of `count` questions one after the other, milliseconds. `fresh`: each for a name that nobody has asked for before. */
export async function dnsLatency(
  place: Place,
  options: { count: number; fresh: boolean; name: string; server: string },
): Promise<{ p50Ms: number; p99Ms: number }> {
  const { count, fresh, name, server } = options
  const words = [process.execPath, `${root}bench/dns-client.ts`, server, name, String(count), fresh ? 'fresh' : 'same']
  return JSON.parse((await run(...at(place, words), { seconds: 30 })).output) as { p50Ms: number; p99Ms: number }
}
