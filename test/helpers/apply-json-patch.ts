import assert from 'node:assert/strict'
import type { JsonPatchOperation } from '../../src/traffic-manager/json-patch.ts'

/** Applies a JSON Patch (RFC 6902) to a copy, as strictly as the API server: paths must exist, `test` must hold. */
export function applyJsonPatch(document: unknown, patch: readonly JsonPatchOperation[]): unknown {
  const copy = structuredClone(document)
  for (const operation of patch) applyOne(copy, operation)
  return copy
}

function applyOne(document: unknown, operation: JsonPatchOperation): void {
  const tokens = operation.path
    .split('/')
    .slice(1)
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'))
  const last = tokens.pop() ?? ''
  let parent = document as Record<string, unknown>
  for (const token of tokens) {
    parent = parent[token] as Record<string, unknown>
    assert.ok(parent !== null && typeof parent === 'object', `path ${operation.path} does not exist`)
  }

  if (operation.op !== 'add') assert.ok(last in parent, `path ${operation.path} does not exist`)
  if (operation.op === 'test') return void assert.deepEqual(parent[last], operation.value)
  if (Array.isArray(parent)) {
    const index = last === '-' ? parent.length : Number(last)
    parent.splice(index, operation.op === 'add' ? 0 : 1, ...(operation.op === 'remove' ? [] : [structuredClone(operation.value)]))
  } else if (operation.op === 'remove') delete parent[last]
  else parent[last] = structuredClone(operation.value)
}
