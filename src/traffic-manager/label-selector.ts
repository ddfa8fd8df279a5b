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
