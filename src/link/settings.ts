import { parseArgs } from 'node:util'
import { messageOf, TpxError } from '../base/error.ts'

/** How the tunnel meets the link; with auto the tunnel container's environment (TPX_CARRIER) decides. */
export type CarrierChoice = 'auto' | 'exec' | 'unix'

/** Everything the link is told. */
export type LinkSettings = {
  /** Started in place of one that died: the cluster was found good before, and may be out of reach just now. */
  again: boolean
  as: string | undefined
  asGroups: string[] | undefined
  asUid: string | undefined
  carrier: CarrierChoice
  connection: string
  context: string | undefined
  /** Container names; they need not exist yet. */
  holderContainer: string
  kubeconfig: string | undefined
  logLevel: string
  managerNamespace: string
  /** Undefined: the context's. */
  namespace: string | undefined
  /** Directory of this connection's sockets. */
  runtimeDir: string
  tunnelContainer: string
}

const OPTIONS = {
  again: { type: 'boolean', default: false },
  as: { type: 'string' },
  'as-group': { multiple: true, type: 'string' },
  'as-uid': { type: 'string' },
  carrier: { type: 'string', default: 'auto' },
  connection: { type: 'string' },
  context: { type: 'string' },
  'holder-container': { type: 'string' },
  kubeconfig: { type: 'string' },
  'log-level': { type: 'string', default: 'info' },
  'manager-namespace': { type: 'string', default: 'ambassador' },
  namespace: { type: 'string' },
  'runtime-dir': { type: 'string' },
  'tunnel-container': { type: 'string' },
} as const

/** @throws TpxError USAGE */
export function readSettings(argv: string[]): LinkSettings {
  const values = parse(argv)
  const { connection, 'runtime-dir': runtimeDir } = values
  if (!connection) throw new TpxError('USAGE', 'The link needs --connection')
  if (!runtimeDir) throw new TpxError('USAGE', 'The link needs --runtime-dir')
  const { carrier } = values
  if (carrier !== 'auto' && carrier !== 'exec' && carrier !== 'unix') throw new TpxError('USAGE', `Unknown carrier "${carrier}"`)
  return {
    again: values.again,
    as: values.as,
    asGroups: values['as-group'],
    asUid: values['as-uid'],
    carrier,
    connection,
    context: values.context,
    holderContainer: values['holder-container'] ?? `tpx-${connection}`,
    kubeconfig: values.kubeconfig,
    logLevel: values['log-level'],
    managerNamespace: values['manager-namespace'],
    namespace: values.namespace,
    runtimeDir,
    tunnelContainer: values['tunnel-container'] ?? `tpx-${connection}-tunnel`,
  }
}

function parse(argv: string[]) {
  try {
    return parseArgs({ args: argv, options: OPTIONS, strict: true }).values
  } catch (cause) {
    throw new TpxError('USAGE', messageOf(cause), { cause })
  }
}
