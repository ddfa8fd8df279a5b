/** One operation of a JSON Patch (RFC 6902 §4). */
export type JsonPatchOperation = { op: 'add' | 'replace' | 'test'; path: string; value: unknown } | { op: 'remove'; path: string }

/** A JSON Pointer of these reference tokens (RFC 6901 §3). */
export function pointer(...tokens: (number | string)[]): string {
  return tokens.map((token) => `/${String(token).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}

/** Appends to a list that may be absent. */
export function append(list: readonly unknown[] | undefined, path: string, value: unknown): JsonPatchOperation {
  return list ? { op: 'add', path: `${path}/-`, value } : { op: 'add', path, value: [value] }
}

/** Sets a key of an object that may be absent. */
export function setKey(object: object | undefined, path: string, key: string, value: unknown): JsonPatchOperation {
  return object ? { op: 'add', path: `${path}${pointer(key)}`, value } : { op: 'add', path, value: { [key]: value } }
}
