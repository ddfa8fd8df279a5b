const UNIT_MS: Record<string, number> = { h: 3_600_000, m: 60_000, ms: 1, s: 1000, us: 0.001, µs: 0.001, ns: 0.000_001 }

/** A duration as Go writes it ("500ms", "1m30s", "1.5h"), or a plain number of seconds, as Telepresence takes it. */
export const DURATION_PATTERN = /^(?:\d+(?:\.\d+)?|(?:\d+(?:\.\d+)?(?:ms|us|µs|ns|h|m|s))+)$/

/** Reads a duration; a number without unit means seconds. @returns milliseconds, or undefined where it is none */
export function parseDuration(text: string): number | undefined {
  if (!DURATION_PATTERN.test(text)) return undefined
  if (/^[\d.]+$/.test(text)) return Number(text) * 1000
  const parts = text.matchAll(/([\d.]+)(\D+)/g)
  return Array.from(parts, ([, number, unit = '']) => Number(number) * (UNIT_MS[unit] ?? 0)).reduce((sum, ms) => sum + ms, 0)
}

/** Milliseconds as Go writes a duration: "1m30s", "500ms". */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${ms}ms`
  const hours = Math.floor(ms / 3_600_000)
  const minutes = Math.floor((ms % 3_600_000) / 60_000)
  const seconds = (ms % 60_000) / 1000
  return `${hours ? `${hours}h` : ''}${minutes ? `${minutes}m` : ''}${seconds ? `${seconds}s` : ''}`
}
