import { Flags } from '@oclif/core'
import { TpxError } from '../base/error.ts'
import { clusterFlags } from './flags.ts'

const UNITS: Record<string, number> = { '': 1000, m: 60_000, ms: 1, s: 1000 }

/** A duration in milliseconds: "120", "120s", "2m", "500ms".
 * @throws TpxError USAGE
 */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|)$/.exec(text)
  if (!match) throw new TpxError('USAGE', `"${text}" is no duration`, { hint: 'Write it like 120s or 2m' })
  return Number(match[1]) * (UNITS[match[2] ?? ''] ?? 1000)
}

/** What every command about the traffic-manager's installation has. */
export const helmFlags = {
  ...clusterFlags,
  timeout: Flags.string({ default: '120s', description: 'How long to wait for the cluster, e.g. 90s or 2m.', helpValue: 'DURATION' }),
}

/** Values of the chart, as in Helm. */
export const valueFlags = {
  set: Flags.string({
    description: 'Set a value of the chart, e.g. image.registry=registry.example.com; several with commas.',
    helpValue: 'KEY=VALUE',
    multiple: true,
    multipleNonGreedy: true,
  }),
  'set-string': Flags.string({
    description: 'As --set, but the value stays a string, e.g. image.tag=1.',
    helpValue: 'KEY=VALUE',
    multiple: true,
    multipleNonGreedy: true,
  }),
  values: Flags.string({
    char: 'f',
    description: 'YAML file of values, - for stdin; may be given several times, later ones win.',
    helpValue: 'FILE',
    multiple: true,
    multipleNonGreedy: true,
  }),
  wait: Flags.boolean({ allowNo: true, default: true, description: 'Wait until the traffic-manager is ready.' }),
}

/** How the flags say which cluster is meant, and as whom. */
export function kubeconfigOptions(flags: {
  as?: string | undefined
  'as-group'?: string[] | undefined
  'as-uid'?: string | undefined
  context?: string | undefined
  kubeconfig?: string | undefined
}): {
  as: string | undefined
  asGroups: string[] | undefined
  asUid: string | undefined
  context: string | undefined
  kubeconfig: string | undefined
} {
  return { as: flags.as, asGroups: flags['as-group'], asUid: flags['as-uid'], context: flags.context, kubeconfig: flags.kubeconfig }
}
