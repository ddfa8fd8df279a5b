import { TpxError } from '../base/error.ts'
import type { KubeContext } from './kube-context.ts'

/** Fits into container names (Engine API: [a-zA-Z0-9][a-zA-Z0-9_.-]*) and into a socket's path, which holds 108 bytes. */
const NAME = /^[a-z0-9][a-z0-9_.-]{0,39}$/

/** The connection's name: the one given, or made of context and namespace. @throws TpxError USAGE */
export function connectionName(given: string | undefined, { context, namespace }: KubeContext): string {
  if (given === undefined) {
    const text = `${context}-${namespace}`
      .toLowerCase()
      .replaceAll(/[^a-z0-9_.-]+/g, '-')
      .replace(/^[^a-z0-9]+/, '')
    return text.slice(-40).replace(/^[^a-z0-9]+/, '') || 'default'
  }
  if (NAME.test(given)) return given
  throw new TpxError('USAGE', `Not a name for a connection: "${given}"`, {
    hint: 'Use up to 40 of a-z, 0-9, ".", "_" and "-", beginning with a letter or digit',
  })
}
