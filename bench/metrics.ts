/** Everything measured: a list of values for each key, one or more for each round. */
export class Metrics {
  readonly notes: string[] = []
  readonly values: Record<string, number[]> = {}

  add(key: string, value: number): void {
    if (Number.isFinite(value)) (this.values[key] ??= []).push(value)
  }

  note(text: string): void {
    this.notes.push(text)
    process.stderr.write(`  note: ${text}\n`)
  }

  /** Undefined where nothing was measured. */
  median(key: string): number | undefined {
    const sorted = [...(this.values[key] ?? [])].sort((a, b) => a - b)
    const middle = sorted.length >> 1
    if (sorted.length % 2) return sorted[middle]
    return sorted.length ? ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2 : undefined
  }

  /** Keys that begin with a prefix, without it. */
  under(prefix: string): string[] {
    return Object.keys(this.values)
      .filter((key) => key.startsWith(prefix))
      .map((key) => key.slice(prefix.length))
  }
}
