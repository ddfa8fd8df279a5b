/** The candidate nearest to what was typed (Levenshtein), or undefined when none is near: for "did you mean" hints. */
export function closestTo(typed: string, candidates: readonly string[]): string | undefined {
  const limit = Math.max(2, Math.floor(typed.length / 3))
  let best: string | undefined
  let bestDistance = limit + 1
  for (const candidate of candidates) {
    const edits = editDistance(typed, candidate)
    // A name that merely begins like it ("web" for "web-app") is as near as one typing error.
    const isPrefix = typed.length > 1 && (candidate.startsWith(typed) || typed.startsWith(candidate))
    // The less is added, the nearer ("excludes" for "exclude", not "excludeSuffixes").
    const distance = isPrefix ? Math.min(1, edits) - 1 / (1 + edits) : edits
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance]
  }

  return best
}

/** Number of inserted, removed or replaced characters between two names. */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1))
    }

    row = next
  }

  return row[b.length]!
}
