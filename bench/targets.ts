// What the issue asks for, and what is known of Telepresence 2.21-dev.
import { delayKey } from './delay.ts'
import type { Metrics } from './metrics.ts'

/** One line of the comparison of the paths. `scale`: decimals shown. */
export type Line = { decimals: number; key: string; unit: string; what: string }

export const LINES: Line[] = [
  { decimals: 0, key: '1 connection requests/s', unit: 'requests/s', what: '1 connection' },
  { decimals: 2, key: '1 connection p50 ms', unit: 'ms', what: '1 connection, p50' },
  { decimals: 2, key: '1 connection p99 ms', unit: 'ms', what: '1 connection, p99' },
  { decimals: 0, key: '32 connections requests/s', unit: 'requests/s', what: '32 connections, keep-alive' },
  { decimals: 2, key: '32 connections p99 ms', unit: 'ms', what: '32 connections, p99' },
  { decimals: 0, key: 'new connections requests/s', unit: 'requests/s', what: 'new connection each, 8 at once' },
  { decimals: 0, key: 'down MB/s', unit: 'MB/s', what: 'bulk down' },
  { decimals: 0, key: 'up MB/s', unit: 'MB/s', what: 'bulk up' },
  { decimals: 0, key: 'others %', unit: '%', what: 'CPUs taken by others meanwhile' },
]

/** A promise: the median of `key`, divided by that of `over`, must be at least or at most `limit`. */
export type Target = { atMost?: number; atLeast?: number; key: string; over?: string; peer: string; unit: string; what: string }

const ratio = (line: string, what: string, atLeast: number, peer: string): Target => ({
  atLeast,
  key: `unix/${line}`,
  over: `port-forward/${line}`,
  peer,
  unit: '×',
  what: `${what} ÷ port-forward`,
})
const idle = (program: string, atMost: number, peer = '–'): Target => ({
  atMost,
  key: `memory idle/unix/${program} rss`,
  peer,
  unit: 'MB',
  what: `${program}, idle (VmRSS)`,
})

const delayed = (roundTripMs: number, direction: 'down' | 'up', atLeast: { mbits?: number; ratio?: number }): Target => {
  const [key, over] = [delayKey(roundTripMs, 'tpx', direction), delayKey(roundTripMs, 'port-forward', direction)]
  const what = `round trip ${roundTripMs} ms, bulk ${direction}`
  return atLeast.ratio === undefined
    ? { atLeast: atLeast.mbits ?? 0, key, peer: '–', unit: 'Mbit/s', what }
    : { atLeast: atLeast.ratio, key, over, peer: '–', unit: '×', what: `${what} ÷ port-forward` }
}

export const TARGETS: Target[] = [
  ratio('1 connection requests/s', '1 connection', 0.65, '0.47'),
  ratio('32 connections requests/s', '32 connections', 1.0, '0.7'),
  ratio('new connections requests/s', 'new connections', 1.5, '0.6'),
  ratio('down MB/s', 'bulk down', 0.8, '0.45'),
  ratio('up MB/s', 'bulk up', 0.7, '0.28'),
  { atMost: 1500, key: 'unix/connect ms', peer: '1200–1500', unit: 'ms', what: '`tpx connect`, images present' },
  { atMost: 300, key: 'command/attach, agent present ms', peer: '80–250', unit: 'ms', what: '`tpx intercept`, agent present' },
  { atMost: 150, key: 'command/leave ms', peer: '80', unit: 'ms', what: '`tpx leave`' },
  idle('tunnel', 110),
  idle('link', 130),
  idle('manager', 110, '59'),
  idle('agent', 75, '41'),
  ...(['down', 'up'] as const).flatMap((direction) => [
    delayed(0, direction, { ratio: 0.8 }),
    delayed(20, direction, { ratio: 0.6 }),
    delayed(20, direction, { mbits: 400 }),
    delayed(80, direction, { mbits: 150 }),
  ]),
]

/** The verdict on a target, by the medians. `best`: the same by each side's best round, which others' work disturbs least. */
export type Verdict = { best: number; isMet: boolean; value: number }

/** Undefined where nothing was measured. */
export function judge(metrics: Metrics, { atLeast, atMost, key, over }: Target): Verdict | undefined {
  const divided = (of: (key: string) => number | undefined): number => (of(key) ?? NaN) / (over === undefined ? 1 : (of(over) ?? NaN))
  const best = (key: string): number => (atLeast === undefined ? Math.min : Math.max)(...(metrics.values[key] ?? []))
  const value = divided((key) => metrics.median(key))
  if (!Number.isFinite(value)) return undefined
  return { best: divided(best), isMet: value >= (atLeast ?? -Infinity) && value <= (atMost ?? Infinity), value }
}
