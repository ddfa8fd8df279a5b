import type { LabelSelector } from './kubernetes-objects.ts'

/** `matchLabels` and `matchExpressions` as the text of a `labelSelector` parameter (k8s.io/apimachinery LabelSelectorAsSelector). */
export function labelSelector({ matchExpressions = [], matchLabels = {} }: LabelSelector = {}): string {
  const equalities = Object.entries(matchLabels).map(([key, value]) => `${key}=${value}`)
  const expressions = matchExpressions.map(({ key, operator, values = [] }) => {
    if (operator === 'Exists') return key
    if (operator === 'DoesNotExist') return `!${key}`
    return `${key} ${operator === 'In' ? 'in' : 'notin'} (${values.join(',')})`
  })
  return [...equalities, ...expressions].join(',')
}

/** Tells whether a selector matches labels; an empty one matches everything, and a negation matches where the label is missing. */
export function selects({ matchExpressions = [], matchLabels = {} }: LabelSelector, labels: Readonly<Record<string, string>>): boolean {
  const holds = ({ key, operator, values = [] }: (typeof matchExpressions)[number]): boolean => {
    const value = labels[key]
    if (operator === 'Exists') return value !== undefined
    if (operator === 'DoesNotExist') return value === undefined
    const isIn = value !== undefined && values.includes(value)
    return operator === 'In' ? isIn : !isIn
  }
  return Object.entries(matchLabels).every(([key, value]) => labels[key] === value) && matchExpressions.every(holds)
}
